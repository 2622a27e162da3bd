"""The command that serves a model with vLLM as the conversation needs it: tools, many frames, a cached prefix."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, NoReturn

from ...tools.errors import MissingExtra

IMAGES: Final = 64
"""Pictures in one conversation: 48 frames and what the tools draw."""
_QWEN2_5_VL: Final = re.compile(r"qwen2[._]?5[-_]?vl", re.IGNORECASE)


def serve_command(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_model_len: int | None = None,
    more: Sequence[str] = (),
) -> list[str]:
    """The `vllm serve` command line of `model`, a Hugging Face id or a folder, word by word.

    Qwen2.5-VL gets this package's chat template, because its own knows no tools; any other model keeps its own.
    `--enable-scale-out` opens the route that takes token ids, and log-probabilities are those of the distribution that
    was sampled from, as training needs them. `more` is appended as it is.
    """
    template = files("video_star.graph.policies") / "templates" / "qwen2_5_vl.jinja"
    return [
        *("vllm", "serve", model, "--host", host, "--port", str(port)),
        *(("--chat-template", str(template)) if _is_qwen2_5_vl(model) else ()),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
        *("--limit-mm-per-prompt", json.dumps({"image": IMAGES})),
        "--enable-prefix-caching",
        "--enable-scale-out",
        *("--logprobs-mode", "processed_logprobs"),
        *(("--max-model-len", str(max_model_len)) if max_model_len is not None else ()),
        *more,
    ]


def start(command: list[str]) -> NoReturn:
    """Become the process of `command`, with the vLLM of this Python, or else of the path.

    Raises:
        MissingExtra: vLLM is not installed.
    """
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    program = shutil.which(command[0], path=places)
    if program is None:
        raise MissingExtra("vLLM is not installed here; install it: pip install 'video-star[vllm]'")
    os.execv(program, command)


def _is_qwen2_5_vl(model: str) -> bool:
    config = Path(model) / "config.json"
    if config.is_file():
        return '"qwen2_5_vl"' in config.read_text(encoding="utf-8", errors="replace")
    return bool(_QWEN2_5_VL.search(model))
