"""What small hostile inputs cost: processor time and peak memory of a whole run, beside those of the bundled clip.

Run as `python -m video_star.evals.bench.hostile_cost [WORD ...]`; words choose inputs by name. Every input is made by
ffmpeg, or is a list of labels, and is given to `video-star recognize` in a fresh process with an empty store. A line is
one input: bytes, processor seconds (user and system, all threads), peak memory of the whole process, and both against
the bundled clip. The limits are 3 times its processor seconds, and 1,024 MB in all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import string
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from moviepy.config import FFMPEG_BINARY

from ...tools.video.source import DEMO_CLIP
from .common import temporary_home, verdict

MOST_TIMES: Final = 3.0
"""Processor time of a run, in runs on the bundled clip."""
MOST_MEMORY: Final = 1024.0
"""MB of peak memory of a run, all of the process counted."""
LABELS: Final = "walk,run,jump,sit,wave,hug,shake hands,ride bike"
MILLION: Final = 1_000_000


class Cost(NamedTuple):
    """What a process took."""

    seconds: float
    """Processor time, user and system."""
    megabytes: float
    """Peak resident memory."""
    status: int
    """Exit status."""


def cost(*words: object) -> Cost:
    """The cost of `video-star recognize` with these arguments."""
    command = [sys.executable, "-m", "video_star.cli", "recognize", *map(str, words), "--json"]
    with temporary_home(), subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode)


def _ffmpeg(path: Path, *words: object) -> None:
    """Run ffmpeg if its output is not there already."""
    if not path.exists():
        part = path.with_name(f"part{path.suffix}")
        command = [FFMPEG_BINARY, "-y", "-loglevel", "error", *words, part]
        subprocess.run([str(word) for word in command], check=True)
        part.rename(path)


def _video(suffix: str, *options: object, source: str = "color=gray:s=64x48:r=25", frames: int = MILLION) -> Make:
    """Frames of an ffmpeg source."""

    def make(folder: Path) -> list[object]:
        path = folder / f"film{suffix}"
        given = ["-f", "lavfi", "-i", source, "-frames:v", frames, "-pix_fmt", "yuv420p", *options]
        _ffmpeg(path, *given)
        return [path, "--actions", LABELS]

    return make


def _enlarged(columns: int, size: str, *options: object) -> Make:
    """The bundled clip, repeated in rows and columns: many people."""

    def make(folder: Path) -> list[object]:
        path = folder / "crowd.mp4"
        tiles = f"[0:v]scale={size},split={columns**2}" + "".join(f"[t{k}]" for k in range(columns**2))
        layout = "|".join(
            f"{'+'.join(['w0'] * column) or 0}_{'+'.join(['h0'] * row) or 0}"
            for row in range(columns)
            for column in range(columns)
        )
        joined = "".join(f"[t{k}]" for k in range(columns**2)) + f"xstack=inputs={columns**2}:layout={layout}"
        given = ["-i", DEMO_CLIP, "-filter_complex", f"{tiles};{joined}", *options]
        _ffmpeg(path, *given)
        return [path, "--actions", LABELS]

    return make


def _streams(suffix: str, count: int) -> Make:
    """One second of video in many streams."""

    def make(folder: Path) -> list[object]:
        path = folder / f"streams{suffix}"
        given = ["-f", "lavfi", "-i", "color=gray:s=64x48:r=25:d=1", *["-map", "0:v"] * count, "-c:v", "mpeg4"]
        _ffmpeg(path, *given)
        return [path, "--actions", LABELS]

    return make


def _labels(count: int, length: int) -> Make:
    """The bundled clip with made-up labels, in a file."""

    def make(folder: Path) -> list[object]:
        rng, path = random.Random(0), folder / "labels.json"
        letters = string.ascii_lowercase + "    "
        path.write_text(json.dumps(["".join(rng.choices(letters, k=length)) + str(k) for k in range(count)]))
        return [DEMO_CLIP, "--actions-file", path]

    return make


Make = Callable[[Path], list[object]]
"""Writes an input into a folder and returns the arguments for it."""
FAST: Final = ("-preset", "ultrafast", "-tune", "zerolatency")
LONE: Final = ("-c:v", "libx264", *FAST, "-g", 2 * MILLION, "-keyint_min", MILLION)
"""A keyframe at the beginning only."""
WHOLE_8K: Final = "color=gray:s=7680x4320:r=25"
INPUTS: Final[dict[str, Make]] = {
    "a million equal frames, mp4": _video(".mp4", "-c:v", "libx264", *FAST),
    "a million equal frames, one keyframe, mp4": _video(".mp4", *LONE),
    "a million equal frames, one keyframe, mkv": _video(".mkv", *LONE),
    "a million equal frames, one keyframe, ts": _video(".ts", *LONE),
    "a million equal frames, ts": _video(".ts", "-c:v", "libx264", *FAST),
    "a million equal frames, mpg": _video(".mpg", "-c:v", "mpeg2video", "-g", 600),
    "a million equal frames, ogv": _video(".ogv", "-c:v", "libtheora", "-g", 600),
    "a million equal frames, avi": _video(".avi", "-c:v", "mpeg4", "-g", 600),
    "a million equal frames, flv": _video(".flv", "-c:v", "flv", "-g", 600),
    "200,000 equal frames, gif": _video(".gif", "-pix_fmt", "rgb8", frames=200_000),
    "200,000 equal frames, no container": _video(".h264", *LONE, frames=200_000),
    "a second of 100,000 frames": _video(".mp4", *LONE, source="color=gray:s=64x48:r=100000", frames=100_000),
    "an hour, one keyframe, 640x360": _video(".mp4", *LONE, source="testsrc=s=640x360:r=1", frames=3600),
    "8K, 300 equal frames": _video(".mp4", *LONE, source=WHOLE_8K, frames=300),
    "8K, 16 reference frames": _video(".mp4", "-c:v", "libx264", *FAST, "-refs", 16, source=WHOLE_8K, frames=60),
    "8K, lossless pictures": _video(".mkv", "-c:v", "png", "-pix_fmt", "rgb24", source=WHOLE_8K, frames=100),
    "8K, jpeg": _video(".avi", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", source=WHOLE_8K, frames=100),
    "16000x4000": _video(".avi", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", source="color=s=16000x4000:r=25", frames=50),
    "16000x16": _video(".avi", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", source="color=s=16000x16:r=25", frames=200),
    "200 streams, mkv": _streams(".mkv", 200),
    "200 streams, mp4": _streams(".mp4", 200),
    "many people": _enlarged(4, "320:240", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
    "2,000 labels of 200 characters": _labels(2000, 196),
    "2,000 labels just under 80 characters": _labels(2000, 75),
    "100,000 labels": _labels(100_000, 8),
    "a label of a million characters": _labels(1, MILLION),
}


def main() -> int:
    """Print one line for each input; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only inputs whose names hold one of these words")
    parser.add_argument("--inputs", type=Path, help="folder in which inputs are kept for the next time")
    options = parser.parse_args()
    plain = cost(DEMO_CLIP, "--actions", LABELS)
    print(f"the bundled clip: {plain.seconds:.1f} s, {plain.megabytes:.0f} MB")
    passed = []
    for name, make in INPUTS.items():
        if options.words and not any(word in name for word in options.words):
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.inputs or Path(temporary)) / name
            folder.mkdir(parents=True, exist_ok=True)
            given = make(folder)
            size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
            spent = cost(*given)
        times, more = spent.seconds / plain.seconds, spent.megabytes - plain.megabytes
        text = (
            f"{name:<44} {size:7.1f} MB  {spent.seconds:7.1f} s {times:5.2f} x  {spent.megabytes:6.0f} MB {more:+6.0f}"
        )
        passed.append(verdict(times <= MOST_TIMES and spent.megabytes <= MOST_MEMORY, f"{text}  exit {spent.status}"))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
