"""Which engine looks for people and their poses: the embedded one, or the one VIDEO_STAR_VISION names."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import BadWeights, MissingExtra
from .blazepose import BLAZEPOSE
from .checkpoints import NAMES, digest, locate
from .people import SSDLITE, PersonDetector

if TYPE_CHECKING:
    from .pose import PoseEstimator

VARIABLE: Final = "VIDEO_STAR_VISION"
"""`embedded`, a name such as yolo11n, the path of a .pt, .onnx or OpenVINO folder, or `KIND:WHAT` for all others."""
KINDS: Final = {"rtmpose": "video_star.tools.vision.rtmpose"}
"""Modules by kind. A kind that is not here is itself the name of a module, anybody's. Each has a function
`engine(what)`, which returns an `Engine` for the text after the colon; docs/engines.md shows one whole."""


@dataclass(frozen=True)
class Engine:
    """What looks for people and for their poses."""

    name: str
    """Name and version: part of every cache key, so that results of different engines, or weights, never mix."""
    detector: PersonDetector
    estimator: PoseEstimator
    licence: str = ""
    """What its licence asks of those who use it, where that is more than to be named; `video-star doctor` says it."""


EMBEDDED: Final = Engine("embedded-1", SSDLITE, BLAZEPOSE)


def engine() -> Engine:
    """The engine that the environment names, ready but not loaded; the embedded one where it names none.

    A name such as yolo11n is that detector and yolo11n-pose; yolo11n-pose, and a path, is one model for both.

    Raises:
        BadWeights: The variable names nothing known, or weights that are not here.
        MissingExtra: The package that runs them is not installed.
    """
    choice = os.environ.get(VARIABLE, "").strip() or "embedded"
    if choice == "embedded":
        return EMBEDDED
    if choice in NAMES:
        pose = choice if choice.endswith("-pose") else f"{choice}-pose"
        people, poses = locate(choice), locate(pose)
    elif (path := _weights(choice)) is not None:
        people = poses = path
    elif ":" in choice:
        kind, _, what = choice.partition(":")
        return _other(kind, what, _mark(what))
    else:
        raise _unknown(choice, "there is no such file, and no engine of that name")
    return _yolo(people, poses, f"yolo-2 {digest(people)[:16]} {digest(poses)[:16]}")


def engine_name() -> str:
    """The name of the engine in the environment, for keys; where it cannot be used, what the environment says."""
    try:
        return engine().name
    except (BadWeights, MissingExtra):
        return os.environ[VARIABLE]


def _weights(choice: str) -> Path | None:
    """The path of weights for YOLO11, where the choice is one."""
    path = Path(choice).expanduser()
    if path.is_file() and path.suffix in (".pt", ".onnx"):
        return path.resolve()
    return path.resolve() if path.is_dir() and any(path.glob("*.xml")) else None


@lru_cache(maxsize=2)
def _yolo(people: Path, poses: Path, name: str) -> Engine:
    from .yolo import Yolo

    estimator = Yolo(poses)
    licence = "YOLO11 and its weights are AGPL-3.0"
    return Engine(name, estimator if people == poses else Yolo(people), estimator, licence)


def _mark(what: str) -> str:
    """What tells results of one model from another's: the content of the file or folder of that name, or the text."""
    path = Path(what).expanduser()
    try:
        return digest(path)[:16] if what and path.exists() else what
    except OSError:
        return what


@lru_cache(maxsize=2)
def _other(kind: str, what: str, mark: str) -> Engine:
    """The engine of the module that the kind names."""
    try:
        made: Engine = import_module(KINDS.get(kind, kind)).engine(what)
        return replace(made, name=f"{made.name} {mark}".rstrip())
    except (BadWeights, MissingExtra):
        raise
    except Exception as error:
        # A module of anybody's may fail in any way; whoever asks for the engine is told what to set instead.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise _unknown(f"{kind}:{what}", reason) from error


def _unknown(choice: str, reason: str) -> BadWeights:
    others = ", ".join(f"{kind}:PATH" for kind in KINDS)
    return BadWeights(
        f"{VARIABLE} is {choice[:200]!r}, which is nothing to look with ({reason}); set it to embedded, "
        f"{', '.join(NAMES)}, the path of an existing .pt, .onnx or OpenVINO folder, {others}, or MODULE:WHAT for an "
        "engine of your own"
    )
