"""A run as a file for the Rerun viewer: video, people, hands, primitives and the nodes of the graph on timelines."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...tools.drawing.annotators import track_colour
from ...tools.errors import MissingExtra
from ...tools.output_files import MARK, check_different, replacing
from ...tools.registry import hands_of, motion_of, poses_of
from ...tools.video.clip import Clip, open_clip
from ...tools.vision.detections import SKELETON, VISIBLE
from ...tools.vision.hands import HAND_SKELETON

VIDEO: Final = "video"
"""Timeline in seconds of the video."""
RUN: Final = "run"
"""Timeline in seconds since the run began."""
JPEG_QUALITY: Final = 85
INSTALL: Final = "pip install 'video-star[rerun]'"


def write_rerun(record: Mapping[str, Any], out: Path) -> None:
    """Write the file; `rerun FILE` opens it. Frames, poses and motion come from the caches of the run.

    Args:
        record: The record of a run whose video still exists.
        out: The file to write: .rrd.

    Raises:
        BadInput: The video cannot be read, or `out` is that video.
        MissingExtra: The extra [rerun] is not installed.
        OSError: `out` cannot be written.
    """
    rr = installed()
    span = record["video"] or record["request"]
    clip = open_clip(record["request"]["source"], span["start"], span["end"])
    check_different("the file for Rerun", out, {"the source": clip.path})
    with replacing(out) as part:
        stream = rr.RecordingStream(MARK, recording_id=record["id"])
        stream.save(part)
        _log_frames(rr, stream, clip)
        _log_primitives(rr, stream, clip)
        _log_nodes(rr, stream, record, clip)
        stream.flush()
        stream.disconnect()


def installed() -> Any:
    """The module of Rerun's SDK.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module("rerun")
    except ImportError as error:
        raise MissingExtra(f"a file for Rerun needs the package rerun-sdk: {INSTALL}") from error


def _log_frames(rr: Any, stream: Any, clip: Clip) -> None:
    frames, poses, hands = clip.frames(), poses_of(clip), hands_of(clip)
    for k, (image, seconds) in enumerate(zip(frames.images, frames.times, strict=True)):
        stream.set_time(VIDEO, duration=float(seconds))
        stream.log("video", rr.Image(image).compress(jpeg_quality=JPEG_QUALITY))
        people = poses.at(k)
        stream.log(
            "video/people",
            rr.Boxes2D(
                array=people.boxes * frames.scale,
                array_format=rr.Box2DFormat.XYXY,
                labels=[f"person {number}" for number in people.tracks],
                colors=[track_colour(int(number)) for number in people.tracks],
            ),
        )
        stream.log("video/skeletons", _strips(rr, people.keypoints, people.tracks, SKELETON, frames.scale))
        if hands is not None:
            here = hands.at(k)
            # All joints of a hand are estimated; their third coordinate is a depth.
            points = here.keypoints.copy()
            points[:, :, 2] = 1
            stream.log("video/hands", _strips(rr, points, here.tracks, HAND_SKELETON, frames.scale))


def _strips(rr: Any, keypoints: np.ndarray, tracks: np.ndarray, bones: Any, scale: float) -> Any:
    """The visible bones of everybody, as line strips in pixels of the frame."""
    lines, colours = [], []
    for points, number in zip(keypoints, tracks, strict=True):
        for a, b in bones:
            if min(points[a, 2], points[b, 2]) >= VISIBLE:
                lines.append(points[[a, b], :2] * scale)
                colours.append(track_colour(int(number)))
    return rr.LineStrips2D(lines, colors=colours)


def _log_primitives(rr: Any, stream: Any, clip: Clip) -> None:
    """The support of each observed primitive while it was strongest, and 0 at other times."""
    motion = motion_of(clip)
    for primitive in motion.observed():
        for seconds in motion.times:
            stream.set_time(VIDEO, duration=seconds)
            now = primitive.start <= seconds <= primitive.end
            stream.log(f"primitives/{primitive.name}", rr.Scalars(primitive.support if now else 0.0))


def _log_nodes(rr: Any, stream: Any, record: Mapping[str, Any], clip: Clip) -> None:
    """Each node when it had finished, on both timelines; evidence at the start of the span that was looked at."""
    for timing in record.get("timings") or []:
        stream.set_time(RUN, duration=timing["start"] + timing["seconds"])
        stream.set_time(VIDEO, duration=clip.start)
        stream.log("nodes", rr.TextLog(f"{timing['node']} finished after {timing['seconds']:.2f} s"))
    found = record["recognition"]
    for item in found.get("evidence") or []:
        stream.set_time(VIDEO, duration=float(item["start"]))
        stream.log(f"evidence/{item['tool']}", rr.TextLog(item["summary"]))
    stream.set_time(VIDEO, duration=clip.start)
    stream.log("answer", rr.TextLog(f"{found['action'] or 'no answer'} ({found['status']})"))
