"""Marionette as the agent meets it: its actions in the knowledge base, and what a teacher may know of a clip."""

from __future__ import annotations

import os
from pathlib import Path

from ...tools.knowledge.entries import FURTHER
from ...tools.primitives import PRIMITIVES as MEASURED
from .annotations import Truth
from .dataset import ABOUT
from .primitives import PRIMITIVES


def shown(clip: Path) -> dict[str, str]:
    """The motion primitives of `tools.primitives` that the clip shows, with their meanings, in order of time.

    Args:
        clip: `<data set>/clips/<id>.mp4`; empty where `<data set>/annotations/` has nothing on it.
    """
    note = clip.parent.parent / "annotations" / f"{clip.stem}.npz"
    if not note.is_file():
        return {}
    performed = sorted(Truth.load(note).primitives, key=lambda one: one[2])
    return {name: MEASURED[name] for _, what, _, _ in performed for name in PRIMITIVES[what].shows}


def use(data: Path) -> None:
    """Let the knowledge base of this process know Marionette's actions, if `data` is a data set of it.

    To be called before anything is looked up. A variable that is set already stands.
    """
    if (data / ABOUT).is_file():
        os.environ.setdefault(FURTHER, str(Path(__file__).with_name("knowledge.yaml")))
