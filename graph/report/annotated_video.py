"""The annotated video of a run: what the tools saw, with skeletons, and the answer with its best scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...tools.drawing.annotators import PoseAnnotator, banner
from ...tools.library import poses_of
from ...tools.video.clip import open_clip
from ...tools.video.writer import write_video

SLOWEST: Final = 1.0
"""Frames per second: the frames of a span longer than they cover at this rate play as time lapse."""


def write_overlay(record: Mapping[str, Any], out: Path) -> None:
    """Draw the run's clip: frames and poses are those the run has looked at, so nothing is decoded or inferred twice.

    Args:
        record: The record of a run whose video is still where it was.
        out: The file to write: .mp4 or .gif.

    Raises:
        BadInput: The video cannot be read any more, or `out` has another suffix.
        OSError: `out` cannot be written.
    """
    found = record["recognition"]
    # A run that failed before it looked knows the span only as it was asked for.
    span = record["video"] or record["request"]
    clip = open_clip(record["request"]["source"], span["start"], span["end"])
    frames, poses = clip.frames(), poses_of(clip)
    title = found["action"] or "no answer"
    bars = [(item["action"], item["score"]) for item in found["ranking"][:3]]
    annotator = PoseAnnotator()
    scenes = (
        banner(annotator.annotate(image, poses, k, frames.scale), title, bars) for k, image in enumerate(frames.images)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_video(out, scenes, max(SLOWEST, len(frames) / (clip.end - clip.start)))
