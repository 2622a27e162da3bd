"""The annotated video of a run: its clip with skeletons, the answer, the time, what was measured, the best scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from ...tools.drawing.annotators import Layers, ObjectAnnotator, PeopleAnnotator, annotated
from ...tools.drawing.banner import Banner
from ...tools.drawing.interpolation import found_at
from ...tools.errors import VideoStarError
from ...tools.output_files import check_different
from ...tools.registry import OBJECTS, body_layers, found_objects, hands_of, people_of
from ...tools.video.clip import ANALYSIS_SIDE, Clip, open_clip
from ...tools.video.writer import Shown, write_video
from .observations import PRECISION, Measured, happening

BARS: Final = 3
"""Candidates whose scores are shown."""
LINES: Final = 3
"""Observations that are shown at a time."""
MIN_SIDE: Final = 480
"""Pixels: smaller frames are enlarged until their long side has as many, so that the text can be read."""
MOST_FRAMES: Final = 3000
"""Most frames of a video that plays as its source: 100 s at 30 frames per second."""
LAPSE_SECONDS: Final = 1.0
"""How long a time lapse shows each frame, if the frames are further apart."""
PREVIEW_SIDE: Final = 640
"""Pixels: long side of frames in the preview."""
PREVIEW_FRAMES: Final = 600
"""Most frames of a preview: 20 s at 30 frames per second."""
PREVIEW_PIXELS: Final = 700_000_000
"""Most pixels that are decoded for a preview: 10 s of 1080p at 30 frames per second."""
PREVIEW_BYTES: Final = 4_000_000
"""Largest preview."""


def write_overlay(record: Mapping[str, Any], out: Path, *, max_side: int = ANALYSIS_SIDE) -> None:
    """Write every frame of the clip of a run, each for as long as in the source.

    A clip of more than `MOST_FRAMES` frames becomes a time lapse of the frames that the tools looked at. A frame has
    the skeletons or boxes that a tool of the run found at that time, if one looked; poses come from the caches of the
    run.

    Args:
        record: The record of a run whose video still exists.
        out: The file to write: .mp4 or .gif.
        max_side: Pixels; larger frames are scaled down to this long side.

    Raises:
        BadInput: The video cannot be read, or `out` is that video or has another suffix.
        OSError: `out` cannot be written.
    """
    clip = _clip(record)
    check_different("the annotated video", out, {"the source": clip.path})
    write_video(out, _annotated(clip, record["recognition"], max_side))


def preview(record: Mapping[str, Any]) -> bytes | None:
    """The annotated video as a small mp4 for the page; None if it would take long, or cannot be made."""
    try:
        clip = _clip(record)
        frames = _frame_count(clip)
        if frames > PREVIEW_FRAMES or frames * clip.info.width * clip.info.height > PREVIEW_PIXELS:
            return None
        with TemporaryDirectory() as folder:
            path = Path(folder) / "preview.mp4"
            write_overlay(record, path, max_side=PREVIEW_SIDE)
            return path.read_bytes() if path.stat().st_size <= PREVIEW_BYTES else None
    except (VideoStarError, OSError):
        return None


def _clip(record: Mapping[str, Any]) -> Clip:
    # A run that failed before it read the video has only the requested span.
    span = record["video"] or record["request"]
    return open_clip(record["request"]["source"], span["start"], span["end"])


def _annotated(clip: Clip, recognition: Mapping[str, Any], max_side: int) -> Iterator[Shown]:
    """The frames with all annotations, each with the seconds for which it is shown."""
    overlays = _overlays(clip, recognition["evidence"])
    measured = Measured.of(recognition["evidence"])
    sub_actions = [item["name"] for item in recognition["sub_actions"]]
    bars = [(item["action"], item["score"]) for item in recognition["ranking"][:BARS]]
    banner = Banner(_title(recognition), bars, LINES if measured else 0)
    for begin, seconds, image in _played(clip, max_side):
        scene = _enlarged(image)
        scale = max(scene.shape[:2]) / max(clip.info.width, clip.info.height)
        for kind in overlays:
            looked = (layers for start, end, layers in kind if start - PRECISION <= begin <= end + PRECISION)
            found = [(annotator, found_at(result, begin)) for annotator, result in next(looked, ())]
            scene = annotated(scene, found, 0, scale)
        now = happening(measured, begin, sub_actions) if measured else ()
        yield seconds, banner.annotate(scene, f"{begin:.2f} s", now)


def _played(clip: Clip, max_side: int) -> Iterator[tuple[float, float, np.ndarray]]:
    """The frames to show: seconds in the video, seconds for which it is shown, and the image."""
    if _frame_count(clip) <= MOST_FRAMES:
        for begin, until, image in clip.play(max_side):
            begin = max(begin, clip.start)
            yield begin, until - begin, image
        return
    frames = clip.frames()
    for begin, until, image in zip(frames.times, [*frames.times[1:], clip.end], frames.images, strict=True):
        yield float(begin), min(LAPSE_SECONDS, float(until - begin)), image


def _frame_count(clip: Clip) -> float:
    return (clip.info.fps or 30.0) * (clip.end - clip.start)


def _title(recognition: Mapping[str, Any]) -> str:
    if recognition["action"] is None:
        return "no answer"
    return f"{recognition['action']}{' (degraded)' if recognition['status'] == 'degraded' else ''}"


def _overlays(clip: Clip, evidence: Sequence[Mapping[str, Any]]) -> list[list[tuple[float, float, Layers]]]:
    """What the tools found, each with the seconds from and until which it looked.

    First of people, skeletons before boxes, and then of objects: of each kind the first that looked at a time is drawn.
    """

    def found_by(layers_of: Callable[[Clip], Layers], *tools: str) -> list[tuple[float, float, Layers]]:
        spans = [(item["start"], item["end"]) for item in evidence if item["tool"] in tools and item["status"] == "ok"]
        within = [(start, end) for start, end in dict.fromkeys(spans) if start < clip.end and clip.start < end]
        return [(start, end, layers_of(clip.span(start, end))) for start, end in within]

    people = [*found_by(_bodies, "track_motion", "estimate_pose"), *found_by(_boxes, "detect_people")]
    return [people, found_by(_objects, OBJECTS)]


def _bodies(clip: Clip) -> Layers:
    return body_layers(clip, hands_of(clip))


def _boxes(clip: Clip) -> Layers:
    return [(PeopleAnnotator(), people_of(clip))]


def _objects(clip: Clip) -> Layers:
    return [(ObjectAnnotator(), found_objects(clip))]


def _enlarged(image: np.ndarray) -> np.ndarray:
    """The image, each pixel repeated until the long side has at least `MIN_SIDE` pixels."""
    times = -(-MIN_SIDE // max(image.shape[:2]))
    return image.repeat(times, axis=0).repeat(times, axis=1) if times > 1 else image
