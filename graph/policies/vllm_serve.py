"""The command that serves a model with vLLM for this graph: tool calls, many images, prefix caching, token ids."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from ...tools.errors import MissingExtra
from .families import family_of

MAX_IMAGES: Final = 64
"""Images in one conversation: 48 frames and the annotated frames of the tools."""


def serve_command(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_model_len: int | None = None,
    more: Sequence[str] = (),
) -> list[str]:
    """The arguments of the `vllm serve` command for `model`, a Hugging Face id or a folder.

    `--enable-scale-out` enables the route that takes token ids, and `--logprobs-mode processed_logprobs` reports the
    log-probabilities of the distribution that was sampled from, as training needs them. `more` is appended unchanged.
    """
    return [
        *("vllm", "serve", model, "--host", host, "--port", str(port)),
        *family_of(model).serve_options(),
        *("--limit-mm-per-prompt", json.dumps({"image": MAX_IMAGES})),
        "--enable-prefix-caching",
        "--enable-scale-out",
        *("--logprobs-mode", "processed_logprobs"),
        *(("--max-model-len", str(max_model_len)) if max_model_len is not None else ()),
        *more,
    ]


def start(command: list[str]) -> NoReturn:
    """Replace this process by `command`, with the vLLM of this Python, or else the one on the PATH.

    Raises:
        MissingExtra: vLLM is not installed.
    """
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    program = shutil.which(command[0], path=path)
    if program is None:
        raise MissingExtra("vLLM is not installed; install it: pip install 'video-star[vllm]'")
    os.execv(program, command)
