"""The annotated video of a run: frames with skeletons, the answer, and the best scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...tools.drawing.annotators import annotated, banner
from ...tools.output_files import check_different
from ...tools.registry import body_layers, hands_of
from ...tools.video.clip import open_clip
from ...tools.video.writer import write_video

MIN_FPS: Final = 1.0
"""Minimum frames per second; a longer span plays as a time lapse."""


def write_overlay(record: Mapping[str, Any], out: Path) -> None:
    """Write the clip of a run with its skeletons and scores. Frames and poses come from the caches of the run.

    Args:
        record: The record of a run whose video still exists.
        out: The file to write: .mp4 or .gif.

    Raises:
        BadInput: The video cannot be read, or `out` is that video or has another suffix.
        OSError: `out` cannot be written.
    """
    recognition = record["recognition"]
    # A run that failed before it read the video has only the requested span.
    span = record["video"] or record["request"]
    clip = open_clip(record["request"]["source"], span["start"], span["end"])
    check_different("the annotated video", out, {"the source": clip.path})
    frames, layers = clip.frames(), body_layers(clip, hands_of(clip))
    title = recognition["action"] or "no answer"
    bars = [(item["action"], item["score"]) for item in recognition["ranking"][:3]]
    drawn = (banner(annotated(image, layers, k, frames.scale), title, bars) for k, image in enumerate(frames.images))
    write_video(out, drawn, max(MIN_FPS, len(frames) / (clip.end - clip.start)))
