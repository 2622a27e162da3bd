"""`video-star serve`: the vLLM command that serves a model as a policy."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from .errors import typed_errors


def serve(
    model: Annotated[str, typer.Argument(help="Model id on Hugging Face, or checkpoint folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 to accept other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    max_model_len: Annotated[
        int | None, typer.Option(help="Context length in tokens; default: the model's own limit.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Start the server instead of printing the command.")] = False,
    more: Annotated[
        list[str] | None, typer.Argument(help="Further options of `vllm serve`, after --, as in -- --dtype bfloat16.")
    ] = None,
) -> None:
    """Print or run the vLLM command that serves a policy."""
    with typed_errors():
        from ..graph.policies.vllm_serve import serve_command, start

        command = serve_command(model, host=host, port=port, max_model_len=max_model_len, more=more or ())
        reachable = "127.0.0.1" if host == "0.0.0.0" else host
        print(f"policy: vllm:{model}@http://{reachable}:{port}/v1", file=sys.stderr, flush=True)
        if run:
            start(command)
        print(shlex.join(command))
