"""Time and memory for reading 16 frames spread evenly over a video: our reader and its alternatives.

Run as `python -m video_star.evals.bench.decode`. The clips are made from the real frames of the demo clip: enlarged,
panned, played back and forth, with some noise. Every method returns 16 full-size RGB frames; they take turns in one
process for several rounds. Opening the file counts, imports do not. Ratios are medians over rounds, so that a busy
moment slows both sides. Peak memory is that of a fresh process that reads 48 frames at 768 pixels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Final

import av
import numpy as np

from video_star.tools.video.reader import probe, read_frames
from video_star.tools.video.source import DEMO_CLIP

from .common import verdict

FRAMES: Final = 16
RATE: Final = 30

Method = Callable[[Path, np.ndarray], int]
"""Reads the frames at the given seconds of a file and returns how many it read."""


@dataclass(frozen=True)
class Sample:
    """One clip to make."""

    name: str
    seconds: int
    width: int
    height: int
    keyframe_interval: int


SAMPLES: Final = (
    Sample("10 s 640x360 GOP 250", 10, 640, 360, 250),
    Sample("60 s 1280x720 GOP 250", 60, 1280, 720, 250),
    Sample("60 s 1280x720 GOP 30", 60, 1280, 720, 30),
)


def write_sample(sample: Sample, folder: Path) -> Path:
    """Encode one clip with H.264, as most videos on the web are."""
    width, height = sample.width, sample.height
    with av.open(str(DEMO_CLIP)) as source:
        enlarged = (f.reformat(width, width * 3 // 4, format="rgb24") for f in source.decode(video=0))
        real = [frame.to_ndarray() for frame in enlarged]
    noise = np.random.default_rng(0).integers(-4, 5, (8, height, width, 1), np.int16)
    pan = width * 3 // 4 - height
    path = folder / f"{width}_{sample.seconds}_{sample.keyframe_interval}.mp4"
    with av.open(str(path), "w") as output:
        options = {"preset": "veryfast", "crf": "23", "g": str(sample.keyframe_interval), "sc_threshold": "0"}
        stream = output.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_type = "FRAME"  # PyAV's default encodes slices, which few files have
        frames = cycle([*real, *real[::-1]])
        for number in range(sample.seconds * RATE):
            top = round(pan * (0.5 + 0.5 * np.sin(number / 40)))
            if number % 3 == 0:
                picture = next(frames)
            image = np.clip(picture[top : top + height] + noise[number % 8], 0, 255).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def ours(path: Path, times: np.ndarray) -> int:
    """`read_frames`."""
    return len(read_frames(path, times))


def sequential(path: Path, times: np.ndarray) -> int:
    """PyAV from the first frame to the last one requested, with its default threads."""
    images: list[np.ndarray] = []
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            if frame.time + 1 / RATE > times[len(images)]:
                images.append(frame.to_ndarray(format="rgb24"))
                if len(images) == len(times):
                    break
    return len(images)


def opencv(path: Path, times: np.ndarray) -> int:
    """OpenCV: grab every frame, retrieve the requested ones."""
    cv2 = import_module("cv2")
    capture = cv2.VideoCapture(str(path))
    images: list[np.ndarray] = []
    wanted = [int(time * RATE) for time in times]
    for number in range(wanted[-1] + 1):
        capture.grab()
        if number == wanted[len(images)]:
            images.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    return len(images)


def torchcodec(path: Path, times: np.ndarray) -> int:
    """VideoDecoder of torchcodec in exact mode, by time."""
    decoder = import_module("torchcodec.decoders").VideoDecoder(str(path), dimension_order="NHWC")
    return len(decoder.get_frames_played_at(times.tolist()).data)


def moviepy(path: Path, times: np.ndarray) -> int:
    """`get_frame` of moviepy."""
    with import_module("moviepy").VideoFileClip(str(path), audio=False) as clip:
        return len([clip.get_frame(time) for time in times])


METHODS: Final[dict[str, tuple[Method, str]]] = {
    "ours": (ours, "av"),
    "PyAV sequential": (sequential, "av"),
    "OpenCV grab": (opencv, "cv2"),
    "torchcodec": (torchcodec, "torchcodec.decoders"),
    "moviepy": (moviepy, "moviepy"),
}
"""Name to method and required module."""


def usable() -> dict[str, Method]:
    """The methods whose module can be imported; prints the others."""
    found = {}
    for name, (method, module) in METHODS.items():
        try:
            import_module(module)
            found[name] = method
        except (ImportError, OSError, RuntimeError) as error:
            print(f"{name}: skipped, {module} cannot be imported ({str(error).splitlines()[0]})")
    return found


def measure(method: Method, path: Path, times: np.ndarray) -> tuple[float, float]:
    """Seconds of wall-clock and of processor time, child processes included."""
    wall, before = time.perf_counter(), os.times()
    count = method(path, times)
    wall, after = time.perf_counter() - wall, os.times()
    if count != len(times):
        raise RuntimeError(f"{method.__name__} returned {count} of {len(times)} frames")
    return wall, sum(after[:4]) - sum(before[:4])


def compare(sample: Sample, path: Path, methods: dict[str, Method], rounds: int) -> list[tuple[bool, str]]:
    """Print one line per method; the targets of this clip, and whether each was met."""
    times = (np.arange(FRAMES) + 0.5) * sample.seconds / FRAMES
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            runs[name].append(measure(method, path, times))
    ratios = {}
    print(f"{sample.name}, {path.stat().st_size / 1e6:.1f} MB")
    for name, measured in runs.items():
        wall, processor = (median(column) for column in zip(*measured, strict=True))
        ratios[name] = median(theirs[0] / mine[0] for theirs, mine in zip(measured, runs["ours"], strict=True))
        print(f"  {name:16} {wall:7.3f} s, processor {processor:7.3f} s, {ratios[name]:6.2f} x ours")
    others = {name: ratio for name, ratio in ratios.items() if name not in ("ours", "moviepy")}
    fastest = min(others, key=others.__getitem__)
    share = 1 / others[fastest]
    verdicts = [(share <= 1.15, f"{sample.name}: {share:.2f} x the fastest alternative ({fastest}), target <= 1.15")]
    if sample.seconds == 60:
        faster = ratios["moviepy"]
        verdicts.append((faster >= 2, f"{sample.name}: {faster:.2f} x faster than moviepy, target >= 2"))
    return verdicts


def peak_memory(path: Path) -> float:
    """Peak memory in MB of a fresh process that reads 48 frames at 768 pixels; Linux only."""
    # Not getrusage: a child process inherits the maximum of its parent.
    code = (
        "import re, sys, numpy as np; from pathlib import Path; from video_star.tools.video.reader import read_frames;"
        "assert len(read_frames(Path(sys.argv[1]), np.arange(48) + .5, max_side=768)) == 48;"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def main() -> None:
    """Make the clips, time every method, print the verdicts; exit with 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    methods = usable()
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_sample(sample, Path(folder)) for sample in SAMPLES]
        for path in paths:
            probe(path)
        verdicts = [one for s, p in zip(SAMPLES, paths, strict=True) for one in compare(s, p, methods, rounds)]
        memory = peak_memory(paths[1])
    verdicts.append((memory < 200, f"peak memory of ours {memory:.0f} MB, target < 200"))
    passed = [verdict(*one) for one in verdicts]
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
