"""What the tools cost, alone and from many runs at once, beside the same calls made one at a time.

Run as `python -m video_star.evals.bench.tools [--clips FOLDER] [--engine NAME_OR_PATH]... [--soak CALLS]`. Runs are
whole runs of the graph, of one tool, with the embedded policy, over two seconds of video (16 frames) that nothing is
cached of; baseline and measured take turns, and ratios are medians. Beside them is what the processors allow at that
moment: plain work in two threads against one. Engines are the embedded one, YOLO11n-pose by torch, ONNX and OpenVINO as
far as they are installed (untrained: the weights do not change what a network costs), and those named, as
VIDEO_STAR_VISION may name them. With clips, the tools that the policy chooses are timed against all tools.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any, Final

import av
import numpy as np

RUNS: Final = 8
ACTIONS: Final = ["walk", "run", "hug", "shake hands", "ride a bike", "sit down"]
SOAKED: Final = ("detect_people", "estimate_pose", "track_motion", "describe_video", "explain_actions")


def bundled() -> Path:
    """The clip that ships with the package: 768x576, 10 frames/s, 7 s."""
    return Path(str(files("video_star.tools") / "clips" / "people_walking.mp4"))


@contextmanager
def fresh() -> Iterator[None]:
    """A store of its own, in which nothing is cached."""
    before = os.environ.get("VIDEO_STAR_HOME")
    with tempfile.TemporaryDirectory() as home:
        os.environ["VIDEO_STAR_HOME"] = home
        try:
            yield
        finally:
            del os.environ["VIDEO_STAR_HOME"]
            if before is not None:
                os.environ["VIDEO_STAR_HOME"] = before


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def line(what: str, value: float, unit: str, more: str = "") -> None:
    """One figure."""
    print(f"{what:<52}{value:9.2f} {unit:<10} {more}".rstrip())


def target(passed: bool, what: str) -> bool:
    """One verdict; returns whether it is missed."""
    print(f"{'PASS' if passed else 'FAIL'}  {what}")
    return not passed


def batches(rounds: int) -> None:
    """Whether BlazePose's landmarks gain from frames in one batch, threads, or callers. SSDLite takes one a time."""
    from ai_edge_litert.interpreter import Interpreter

    from video_star.tools.vision.ssdlite import WEIGHTS

    def model(threads: int, size: int) -> Callable[[], None]:
        interpreter = Interpreter(model_path=str(WEIGHTS / "pose_landmark_full.tflite"), num_threads=threads)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [size, 256, 256, 3])
        interpreter.allocate_tensors()
        interpreter.invoke()

        def work() -> None:
            for _ in range(8 // size):
                interpreter.invoke()

        return work

    one, other = model(1, 1), model(1, 1)

    def beside() -> None:
        threads = [Thread(target=each) for each in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    ways = {
        "one by one, 1 thread": (one, 8),
        "one by one, 2 threads": (model(2, 1), 8),
        "batch of 8, 1 thread": (model(1, 8), 8),
        "batch of 8, 2 threads": (model(2, 8), 8),
        "two callers, 1 thread each": (beside, 16),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (way, frames) in ways.items():
            taken[name].append(1000 * seconds(way) / frames)
    for name, times in taken.items():
        line(f"landmarks, {name}", median(times), "ms/frame")


_UNTRAINED: Final = """
import sys
from ultralytics import YOLO
YOLO("yolo11n-pose.yaml").save("yolo11n-pose.pt")
for format in sys.argv[1:]:
    YOLO("yolo11n-pose.pt").export(format=format, dynamic=True, **({"simplify": False} if format == "onnx" else {}))
"""


def untrained(folder: Path) -> dict[str, str]:
    """YOLO11n-pose by what runs it, made in a folder: what VIDEO_STAR_VISION may name."""
    there = [name for name in ("ultralytics", "torch", "onnx", "onnxruntime", "openvino") if find_spec(name)]
    if not {"ultralytics", "torch"} <= set(there):
        print("YOLO11n-pose: left out, needs ultralytics and torch")
        return {}
    named = {"torch": "yolo11n-pose.pt"}
    if {"onnx", "onnxruntime"} <= set(there):
        named["onnx"] = "yolo11n-pose.onnx"
    if {"onnx", "openvino"} <= set(there):
        named["openvino"] = "yolo11n-pose_openvino_model"
    for missing in {"onnx", "openvino"} - named.keys():
        print(f"YOLO11n-pose by {missing}: left out, needs onnx and {missing.replace('onnx', 'onnxruntime')}")
    # By itself: ultralytics sets threads for the whole process, and would install, download and report if it were let.
    own = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false", "YOLO_CONFIG_DIR": str(folder)}
    command = [sys.executable, "-c", _UNTRAINED, *(name for name in named if name != "torch")]
    made = subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(f"YOLO11n-pose could not be made: {made.stderr[-500:]}")
    return {f"YOLO11n-pose, {name}": str(folder / path) for name, path in named.items()}


def pose(engines: Mapping[str, str], rounds: int) -> None:
    """Seconds of estimate_pose on 16 frames of the bundled clip, by engine; they take turns."""
    from video_star.tools.video.clip import open_clip
    from video_star.tools.vision.engines import VARIABLE, engine
    from video_star.tools.vision.pose import estimate_pose

    frames = open_clip(str(bundled()), 0, 2).frames()
    before, ready = os.environ.get(VARIABLE), {}
    for name, choice in engines.items():
        os.environ[VARIABLE] = choice
        ready[name] = engine().estimator
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before
    took: dict[str, list[float]] = {name: [] for name in ready}
    for number in range(rounds + 1):
        for name, estimator in ready.items():
            passed = seconds(lambda estimator=estimator: estimate_pose(frames, estimator))  # type: ignore[misc]
            # The first look loads the model.
            took[name] += [passed] if number else []
    for name, times in took.items():
        line(
            f"pose on {len(frames)} frames, {name}",
            median(times),
            "s",
            f"{1000 * median(times) / len(frames):.0f} ms/frame",
        )


def other_clips(folder: Path) -> list[Path]:
    """`RUNS` clips of two seconds: parts of the bundled one, encoded anew, every second one mirrored."""
    with av.open(str(bundled())) as source:
        images = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    paths = []
    for number in range(RUNS):
        path = folder / f"{number}.mp4"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("libx264", rate=10, options={"preset": "veryfast", "crf": "20"})
            stream.width, stream.height, stream.pix_fmt = images[0].shape[1], images[0].shape[0], "yuv420p"
            for image in images[number * 5 : number * 5 + 20]:
                shown = np.ascontiguousarray(image[:, ::-1] if number % 2 else image, np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
            output.mux(stream.encode(None))
        paths.append(path)
    return paths


async def run(clip: Path) -> None:
    """One run of the graph with estimate_pose."""
    from video_star.graph.run import arecognize

    found = await arecognize(clip, ACTIONS, start=0, end=2, mode="static", tools=["estimate_pose"])
    if found.status != "ok":
        raise RuntimeError(f"a run ended {found.status}: {found.notes}")


def processors() -> float:
    """How many times as much two threads get done as one at this moment: 2 with two free processors."""

    def work() -> None:
        sha256(bytes(100_000_000))

    def beside() -> None:
        threads = [Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return 2 * seconds(work) / seconds(beside)


async def at_once(clips: Sequence[Path]) -> None:
    """Runs side by side."""
    await asyncio.gather(*(run(clip) for clip in clips))


def concurrency(rounds: int) -> int:
    """Runs at once against runs one at a time, on one clip and on several; gives the number of targets missed."""

    def one_at_a_time(clips: Sequence[Path]) -> None:
        for clip in clips:
            with fresh():
                asyncio.run(run(clip))

    missed = 0
    one_at_a_time([bundled()])  # imports and models, which only the first run of a process waits for
    with tempfile.TemporaryDirectory() as folder:
        several = other_clips(Path(folder))
        for what, clips, least in (("the same clip", [bundled()] * RUNS, 7.0), (f"{RUNS} clips", several, 1.5)):
            ratios, busy, given = [], [], []
            for _ in range(rounds):
                alone = seconds(lambda clips=clips: one_at_a_time(clips))  # type: ignore[misc]
                given.append(processors())
                with fresh():
                    used = time.process_time()
                    together = seconds(lambda clips=clips: asyncio.run(at_once(clips)))  # type: ignore[misc]
                    busy.append((time.process_time() - used) / together)
                given.append(processors())
                ratios.append(alone / together)
            line(f"{RUNS} runs, {what}, one at a time", alone, "s", f"at once {together:.2f} s")
            line("  processors used at once", median(busy), "", f"plain work gets {median(given):.2f}")
            gain = median(ratios)
            missed += target(gain >= least, f"{RUNS} runs at once on {what}: {gain:.2f}x (target at least {least:g})")
    return missed


def cache_hit() -> int:
    """How long a result takes that is cached."""
    from video_star.tools.library import poses_of
    from video_star.tools.video.clip import open_clip

    clip = open_clip(str(bundled()), 0, 6)
    with fresh():
        poses_of(clip)
        hit = 1000 * median(seconds(lambda: poses_of(clip)) for _ in range(200))
    line("cache hit, poses of 48 frames", hit, "ms")
    return target(hit < 2, f"cache hit {hit:.2f} ms (target under 2)")


def chosen_against_all(folder: Path) -> int:
    """Tool time of the tools that the policy chooses against that of all tools, over the clips of a folder.

    Tool time is the sum of each call's seconds alone and with nothing cached, as if no call could use what another has
    worked out: that is how the paper's 36 % add up. Beside it, what runs really wait, because calls do share.
    """
    from video_star.graph.run import recognize
    from video_star.tools.library import tool
    from video_star.tools.video.clip import open_clip

    some = {mode: 0.0 for mode in ("agentic", "static")}
    waited = dict(some)
    for path in sorted(each for each in folder.iterdir() if each.suffix in (".avi", ".mp4")):
        alone = {}
        for name in SOAKED:
            with fresh():
                alone[name] = seconds(lambda name=name: tool(name).look(open_clip(str(path)), ACTIONS, 8))  # type: ignore[misc]  # noqa: B023
        for mode in some:
            with fresh():
                found = recognize(path, ACTIONS, mode=mode)
            some[mode] += sum(alone[item.tool] for item in found.evidence)
            waited[mode] += found.usage.seconds.get("tool_exec", 0.0)
    line("tool time, all tools", some["static"], "s", f"waited {waited['static']:.2f} s")
    line("tool time, tools chosen", some["agentic"], "s", f"waited {waited['agentic']:.2f} s")
    saved = 1 - some["agentic"] / some["static"]
    return target(saved >= 0.5, f"choosing tools saves {saved:.0%} of tool time (target at least 50 %, the paper 36 %)")


def resident() -> float:
    """MB of this process in memory; Linux only."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(clip_path: Path, calls: int, names: Sequence[str] = SOAKED) -> tuple[float, float]:
    """MB in memory early and late in `calls` calls of tools, after a fifth of `calls` to warm up.

    Each call sees a span that none saw before. Memory goes up and down by a tenth as pictures come and go, so that both
    are medians over a tenth of the calls.
    """
    from video_star.tools.execution.executor import SERVICE
    from video_star.tools.library import tool
    from video_star.tools.video.clip import open_clip

    whole, held = open_clip(str(clip_path)), []
    for number in range(calls + calls // 5):
        one = tool(names[number % len(names)])
        start = number % 1000 * 0.006
        span = whole.span(start, start + 0.25 + number // 1000 * 0.01)
        with SERVICE.call(one.name, 60):
            SERVICE.once((one.name, number), lambda one=one, span=span: one.look(span, ACTIONS, 2))  # type: ignore[misc]
        if number >= calls // 5 and number % 5 == 0:
            held.append(resident())
    few = max(3, len(held) // 10)
    return median(held[:few]), median(held[-few:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per figure; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="real clips to choose tools for")
    parser.add_argument("--engine", action="append", default=[], metavar="NAME_OR_PATH", help="beside the embedded one")
    parser.add_argument("--soak", type=int, default=0, metavar="CALLS", help="2000 is what the target speaks of")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    batches(5 * asked.rounds)
    with tempfile.TemporaryDirectory() as folder:
        named = {Path(name).name: name for name in asked.engine}
        pose({"embedded": "embedded", **untrained(Path(folder)), **named}, asked.rounds)
    missed = concurrency(asked.rounds) + cache_hit()
    if asked.clips:
        missed += chosen_against_all(asked.clips)
    if asked.soak:
        # By itself: beside the engines measured above no growth would show.
        with fresh(), ProcessPoolExecutor(1, get_context("spawn")) as process:
            before, after = process.submit(soak, bundled(), asked.soak).result()
        line(f"memory late in {asked.soak} calls", after, "MB", f"early {before:.0f} MB")
        missed += target(after < 1.05 * before, f"memory grows {after / before - 1:.1%} (target under 5 %)")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
