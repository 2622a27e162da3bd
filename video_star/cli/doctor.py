"""`video-star doctor`: what is installed, what works, and the line that installs what is missing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from rich.console import Console
from rich.markup import escape

EXTRAS: dict[str, tuple[str, str]] = {
    "ultralytics": ("yolo", "YOLO11 people and poses (AGPL-3.0)"),
    "transformers": ("local", "policies in this process"),
    "torch": ("local", "policies in this process"),
    "trl": ("train", "SFT and GRPO"),
    "vllm": ("vllm", "vLLM server of policies"),
    "langchain": ("api", "policies by provider:model"),
    "dashscope": ("api", "Qwen's own API"),
    "langgraph_cli": ("studio", "langgraph dev and Studio"),
}
CORE = ("langgraph", "langchain-core", "av", "onnxruntime", "ai-edge-litert", "moviepy")


def report() -> int:
    """Print the report; 0 when the embedded path works, 1 when it does not."""
    console = Console(highlight=False)
    console.print("[bold]core[/]")
    for name in CORE:
        try:
            console.print(f"  [green]✓[/] {name} {version(name)}")
        except PackageNotFoundError:
            console.print(f"  [red]✗[/] {name} is missing: pip install video-star")
    console.print("[bold]backends[/]")
    working = [_tried(console, name, check) for name, check in CHECKS.items()]
    console.print("[bold]extras[/]")
    for module, (extra, purpose) in EXTRAS.items():
        if find_spec(module) is not None:
            console.print(f"  [green]✓[/] {module}: {purpose}")
        else:
            line = escape(f"pip install 'video-star[{extra}]'")
            console.print(f"  [yellow]-[/] {module}: {purpose}: {line}", soft_wrap=True)
    from ..tools.video.source import home

    console.print(f"store: {escape(str(home()))}", soft_wrap=True)
    return 0 if all(working) else 1


def _tried(console: Console, name: str, check: Callable[[], str]) -> bool:
    try:
        console.print(f"  [green]✓[/] {name}: {escape(check())}")
    except Exception as error:
        console.print(f"  [red]✗[/] {name}: {escape(f'{type(error).__name__}: {error}')}", soft_wrap=True)
        return False
    return True


def _video() -> str:
    from importlib.resources import files

    from ..tools.video.clip import open_clip

    clip = open_clip(str(files("video_star.tools") / "clips" / "people_walking.mp4"), 0, 1)
    return f"read {len(clip.frames().times)} frames of the bundled clip"


def _perception() -> str:
    from importlib.resources import files

    from ..tools.video.clip import open_clip
    from ..tools.vision.engines import EMBEDDED
    from ..tools.vision.pose import estimate_pose

    clip = open_clip(str(files("video_star.tools") / "clips" / "people_walking.mp4"), 0, 0.5)
    tracks = estimate_pose(clip.frames(), EMBEDDED.estimator).tracks
    return f"found {len(set(tracks.tolist()))} people in half a second of it"


def _engine() -> str:
    from ..tools.vision.engines import engine

    chosen = engine()
    return "; ".join(filter(None, (chosen.name, chosen.licence)))


def _search() -> str:
    from ..tools.knowledge.encoders import MINILM, chosen, lacking

    missing = lacking(MINILM)
    return f"by {chosen()}" + (f"; better with the extra [search]: {missing}" if missing else "")


def _writing() -> str:
    from moviepy.config import FFMPEG_BINARY

    return str(FFMPEG_BINARY).rsplit("/", 1)[-1]


def _policy() -> str:
    from ..graph.policies.registry import EMBEDDED, resolve_policy

    resolve_policy(EMBEDDED)
    return "the embedded policy 'kinematic' is ready"


CHECKS: dict[str, Callable[[], str]] = {
    "video reading": _video,
    "embedded perception": _perception,
    "vision engine in use": _engine,
    "search for labels without an entry": _search,
    "video writing": _writing,
    "policy": _policy,
}
