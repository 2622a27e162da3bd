"""Engine selection: the embedded engine, or the one named by the environment variable VIDEO_STAR_VISION."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Final

from ..errors import BadWeights, MissingExtra
from ..settings import settings
from .blazepose import BLAZEPOSE
from .checkpoints import NAMES, digest, locate
from .detections import Engine
from .ssdlite import SSDLITE

__all__ = ["EMBEDDED", "KINDS", "VARIABLE", "Engine", "engine", "engine_name"]

VARIABLE: Final = "VIDEO_STAR_VISION"
"""`embedded`, a name such as yolo11n, the path of a .pt file, .onnx file or OpenVINO folder, or `KIND:ARGUMENT`."""
KINDS: Final = {"rtmpose": "video_star.tools.vision.rtmpose", "openpose": "video_star.tools.vision.openpose"}
"""Modules by kind; any other kind is itself the name of an importable module. Each module has a function
`engine(argument)`, which returns an `Engine` for the text after the colon; docs/engines.md has a complete example."""


EMBEDDED: Final = Engine("embedded-2", SSDLITE, BLAZEPOSE)


def engine() -> Engine:
    """The engine named by the environment, not loaded yet; by default the embedded one.

    A name such as yolo11n selects that detector and the estimator yolo11n-pose; yolo11n-pose, or a path, is one model
    for both.

    Raises:
        BadWeights: The variable names no known engine, or the weights are missing.
        MissingExtra: The package that runs the weights is not installed.
    """
    choice = settings().vision.strip() or "embedded"
    if choice == "embedded":
        return EMBEDDED
    if choice in NAMES:
        pose = choice if choice.endswith("-pose") else f"{choice}-pose"
        people, poses = locate(choice), locate(pose)
    elif (path := _weights(choice)) is not None:
        people = poses = path
    elif ":" in choice:
        kind, _, argument = choice.partition(":")
        return _from_module(kind, argument, _version(argument))
    else:
        raise _unknown(choice, "no such file, and no engine of that name")
    return _yolo(people, poses, f"yolo-2 {digest(people)[:16]} {digest(poses)[:16]}")


def engine_name() -> str:
    """The name of the configured engine, for cache keys; if it cannot be used, the value of the variable."""
    try:
        return engine().name
    except (BadWeights, MissingExtra):
        return settings().vision


def _weights(choice: str) -> Path | None:
    """The path of YOLO11 weights, if `choice` is one."""
    path = Path(choice).expanduser()
    if path.is_file() and path.suffix in (".pt", ".onnx"):
        return path.resolve()
    return path.resolve() if path.is_dir() and any(path.glob("*.xml")) else None


@lru_cache(maxsize=2)
def _yolo(people: Path, poses: Path, name: str) -> Engine:
    from .yolo import Yolo

    estimator = Yolo(poses)
    detector = estimator if people == poses else Yolo(people)
    # A pose model knows people only.
    return Engine(name, detector, estimator, "YOLO and its weights are AGPL-3.0", None if people == poses else detector)


def _version(argument: str) -> str:
    """Distinguishes the results of one model from another's: the digest of the file or folder, or else the text."""
    path = Path(argument).expanduser()
    try:
        return digest(path)[:16] if argument and path.exists() else argument
    except OSError:
        return argument


@lru_cache(maxsize=2)
def _from_module(kind: str, argument: str, version: str) -> Engine:
    """The engine of the module named by `kind`; created again when `version` changes."""
    for name in ("engines", "rtmpose"):
        # Modules written for 0.1 import these from `video_star.tools`.
        sys.modules.setdefault(f"video_star.tools.{name}", import_module(f".{name}", __package__))
    try:
        made: Engine = import_module(KINDS.get(kind, kind)).engine(argument)
        return replace(made, name=f"{made.name} {version}".rstrip())
    except (BadWeights, MissingExtra):
        raise
    except Exception as error:
        # Third-party code may raise anything.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise _unknown(f"{kind}:{argument}", reason) from error


def _unknown(choice: str, reason: str) -> BadWeights:
    others = ", ".join(f"{kind}:PATH" for kind in KINDS)
    return BadWeights(
        f"{VARIABLE} is {choice[:200]!r}, which names no usable engine ({reason}); set it to embedded, "
        f"{', '.join(NAMES)}, the path of an existing .pt file, .onnx file or OpenVINO folder, {others}, or "
        "MODULE:ARGUMENT for your own engine"
    )
