"""Which engine looks for people and their poses: the embedded one, or the one VIDEO_STAR_VISION names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .blazepose import BLAZEPOSE
from .checkpoints import NAMES, digest, locate
from .errors import BadWeights, MissingExtra
from .people import SSDLITE, PersonDetector

if TYPE_CHECKING:
    from .pose import PoseEstimator

VARIABLE: Final = "VIDEO_STAR_VISION"
"""`embedded`, a name such as yolo11n, or the path of a .pt, .onnx or OpenVINO folder."""


@dataclass(frozen=True)
class Engine:
    """What looks for people and for their poses."""

    name: str
    """Name and version: part of every cache key, so that results of different engines, or weights, never mix."""
    detector: PersonDetector
    estimator: PoseEstimator


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
    else:
        people = poses = _given(choice)
    return _yolo(people, poses, f"yolo-1 {digest(people)[:16]} {digest(poses)[:16]}")


def engine_name() -> str:
    """The name of the engine in the environment, for keys; where it cannot be used, what the environment says."""
    try:
        return engine().name
    except (BadWeights, MissingExtra):
        return os.environ[VARIABLE]


def _given(choice: str) -> Path:
    path = Path(choice).expanduser()
    if path.is_file() and path.suffix in (".pt", ".onnx"):
        return path.resolve()
    if path.is_dir() and any(path.glob("*.xml")):
        return path.resolve()
    raise BadWeights(
        f"{VARIABLE} is {choice[:200]!r}, which is nothing to look with; set it to embedded, {', '.join(NAMES)}, "
        "or the path of an existing .pt, .onnx or OpenVINO folder"
    )


@lru_cache(maxsize=2)
def _yolo(people: Path, poses: Path, name: str) -> Engine:
    from .yolo import Yolo

    estimator = Yolo(poses)
    return Engine(name, estimator if people == poses else Yolo(people), estimator)
