"""`video-star doctor`: what is installed, what works, and how to install what is missing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

EXTRAS: Final[dict[str, tuple[str, str]]] = {
    "tokenizers": ("search", "sentence encoder for labels without an entry"),
    "ultralytics": ("yolo", "YOLO11 people and poses (AGPL-3.0)"),
    "transformers": ("local", "policies in this process"),
    "torch": ("local", "policies in this process"),
    "trl": ("train", "SFT and GRPO"),
    "vllm": ("vllm", "vLLM server for policies"),
    "langchain": ("api", "policies by provider:model"),
    "dashscope": ("api", "Qwen's own API"),
    "scipy": ("evals", "confidence intervals"),
    "langgraph_cli": ("studio", "langgraph dev and Studio"),
}
"""By module: the extra that installs it, and its purpose."""
CORE: Final = ("langgraph", "langchain-core", "av", "onnxruntime", "ai-edge-litert", "moviepy")


def doctor() -> None:
    """Report what is installed and which backends work.

    For each missing package the line that installs it is printed. Exits with 0 if everything needed for the
    embedded policy works, else with 1.
    """
    from rich.markup import escape

    from .messages import console

    console.print("[bold]core[/]")
    for name in CORE:
        try:
            console.print(f"  [green]✓[/] {name} {version(name)}")
        except PackageNotFoundError:
            console.print(f"  [red]✗[/] {name} is missing: pip install video-star")
    console.print("[bold]backends[/]")
    with ThreadPoolExecutor() as pool:
        # The models load while Python imports the state machine.
        checks = [(name, pool.submit(check)) for name, check in CHECKS.items()]
        working = [_passes(console, name, check.result) for name, check in checks]
    console.print("[bold]extras[/]")
    for module, (extra, purpose) in EXTRAS.items():
        if find_spec(module) is not None:
            console.print(f"  [green]✓[/] {module}: {purpose}")
        else:
            line = escape(f"pip install 'video-star[{extra}]'")
            console.print(f"  [yellow]-[/] {module}: {purpose}: {line}", soft_wrap=True)
    from ..tools.settings import home

    console.print(f"store: {escape(str(home()))}", soft_wrap=True)
    raise typer.Exit(0 if all(working) else 1)


def _passes(console: Console, name: str, check: Callable[[], str]) -> bool:
    from rich.markup import escape

    from ..tools.errors import VideoStarError

    try:
        console.print(f"  [green]✓[/] {name}: {escape(check())}")
    except Exception as error:
        text = str(error) if isinstance(error, VideoStarError) else f"{type(error).__name__}: {error}"
        console.print(f"  [red]✗[/] {name}: {escape(text)}", soft_wrap=True)
        return False
    return True


def _video() -> str:
    from ..tools.video.clip import open_clip
    from ..tools.video.source import DEMO_CLIP

    clip = open_clip(str(DEMO_CLIP), 0, 1)
    return f"read {len(clip.frames().times)} frames of the bundled clip"


def _perception() -> str:
    from ..tools.video.clip import open_clip
    from ..tools.video.source import DEMO_CLIP
    from ..tools.vision.engines import EMBEDDED
    from ..tools.vision.pose import estimate_pose

    clip = open_clip(str(DEMO_CLIP), 0, 0.25)
    tracks = estimate_pose(clip.frames(), EMBEDDED.estimator).tracks
    return f"found {len(set(tracks.tolist()))} people in a quarter of a second of it"


def _engine() -> str:
    from ..tools.vision.engines import engine

    found = engine()
    return "; ".join(filter(None, (found.name, found.licence)))


def _search() -> str:
    from ..tools.knowledge.encoders import MINILM, encoder_in_use, why_unavailable

    missing = why_unavailable(MINILM)
    return f"by {encoder_in_use()}" + (f"; better with the extra [search]: {missing}" if missing else "")


def _writing() -> str:
    from moviepy.config import FFMPEG_BINARY

    return str(FFMPEG_BINARY).rsplit("/", 1)[-1]


def _policy() -> str:
    from ..graph.policies.registry import EMBEDDED, resolve_policy

    resolve_policy(EMBEDDED)
    return "the embedded policy 'kinematic' is ready"


CHECKS: Final[dict[str, Callable[[], str]]] = {
    "video reading": _video,
    "embedded perception": _perception,
    "vision engine in use": _engine,
    "search for labels without an entry": _search,
    "video writing": _writing,
    "policy": _policy,
}
