"""Marionette for the agent: its actions as knowledge base entries, and the primitives that a clip shows."""

from __future__ import annotations

import os
from pathlib import Path

from ...tools.motion_primitives import PRIMITIVES as MEASURED
from .annotations import Annotations
from .dataset import ABOUT
from .primitives import PRIMITIVES


def visible_primitives(clip: Path) -> dict[str, str]:
    """The motion primitives of `tools.motion_primitives` that the clip shows, with their meanings, in temporal order.

    Args:
        clip: `<data set>/clips/<id>.mp4`; the result is empty if it has no annotations.
    """
    annotations = clip.parent.parent / "annotations" / f"{clip.stem}.npz"
    if not annotations.is_file():
        return {}
    segments = sorted(Annotations.load(annotations).primitives, key=lambda segment: segment[2])
    return {name: MEASURED[name] for _, primitive, _, _ in segments for name in PRIMITIVES[primitive].shows}


def use_knowledge(data: Path) -> None:
    """Add Marionette's actions to the knowledge base of this process if `data` is a Marionette data set.

    Call it before the first lookup. An environment variable that is already set is kept.
    """
    if (data / ABOUT).is_file():
        os.environ.setdefault("VIDEO_STAR_KNOWLEDGE", str(Path(__file__).with_name("knowledge.yaml")))
