"""Time of the tools, alone and in concurrent runs, compared with one run at a time.

Run as `python -m video_star.evals.bench.tools [--clips FOLDER] [--engine NAME_OR_PATH]... [--soak CALLS]`. A run is a
run of the graph with one tool and the embedded policy over two seconds of video (16 frames), with nothing cached. The
two sides take turns, and ratios are medians; beside them is what the processors allow at that moment: plain work in two
threads compared with one. Engines are the embedded one, YOLO11n-pose on torch, ONNX and OpenVINO if installed
(untrained: weights do not change the cost of a network), and those given, named as in VIDEO_STAR_VISION. With clips,
the tools chosen by the policy are timed against all tools.
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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any, Final

import av
import numpy as np

from video_star.tools.video.source import DEMO_CLIP

from .common import temporary_home, verdict

RUNS: Final = 8
ACTIONS: Final = ["walk", "run", "hug", "shake hands", "ride a bike", "sit down"]
TOOLS: Final = ("detect_people", "estimate_pose", "track_motion", "describe_video", "explain_actions")


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def line(name: str, value: float, unit: str, note: str = "") -> None:
    """Print one figure."""
    print(f"{name:<52}{value:9.2f} {unit:<10} {note}".rstrip())


def batches(rounds: int) -> None:
    """Time of BlazePose landmarks by batch size, threads and concurrent callers. SSDLite takes one frame at a time."""
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

    def concurrently() -> None:
        threads = [Thread(target=each) for each in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    variants = {
        "one by one, 1 thread": (one, 8),
        "one by one, 2 threads": (model(2, 1), 8),
        "batch of 8, 1 thread": (model(1, 8), 8),
        "batch of 8, 2 threads": (model(2, 8), 8),
        "two callers, 1 thread each": (concurrently, 16),
    }
    milliseconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, (work, frames) in variants.items():
            milliseconds[name].append(1000 * seconds(work) / frames)
    for name, times in milliseconds.items():
        line(f"landmarks, {name}", median(times), "ms/frame")


_UNTRAINED: Final = """
import sys
from ultralytics import YOLO
YOLO("yolo11n-pose.yaml").save("yolo11n-pose.pt")
for format in sys.argv[1:]:
    YOLO("yolo11n-pose.pt").export(format=format, dynamic=True, **({"simplify": False} if format == "onnx" else {}))
"""


def untrained(folder: Path) -> dict[str, str]:
    """An untrained YOLO11n-pose, exported into a folder: title to path."""
    installed = [name for name in ("ultralytics", "torch", "onnx", "onnxruntime", "openvino") if find_spec(name)]
    if not {"ultralytics", "torch"} <= set(installed):
        print("YOLO11n-pose: skipped, needs ultralytics and torch")
        return {}
    exports = {"torch": "yolo11n-pose.pt"}
    if {"onnx", "onnxruntime"} <= set(installed):
        exports["onnx"] = "yolo11n-pose.onnx"
    if {"onnx", "openvino"} <= set(installed):
        exports["openvino"] = "yolo11n-pose_openvino_model"
    for missing in {"onnx", "openvino"} - exports.keys():
        print(f"YOLO11n-pose on {missing}: skipped, needs onnx and {missing.replace('onnx', 'onnxruntime')}")
    # In its own process: ultralytics sets the threads of the whole process, and by default it downloads and reports.
    offline = {
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        "YOLO_CONFIG_DIR": str(folder),
    }
    command = [sys.executable, "-c", _UNTRAINED, *(name for name in exports if name != "torch")]
    done = subprocess.run(command, cwd=folder, env=os.environ | offline, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"YOLO11n-pose could not be exported: {done.stderr[-500:]}")
    return {f"YOLO11n-pose, {name}": str(folder / path) for name, path in exports.items()}


def pose(engines: Mapping[str, str], rounds: int) -> None:
    """Seconds of estimate_pose on 16 frames of the demo clip; the engines take turns."""
    from video_star.tools.video.clip import open_clip
    from video_star.tools.vision.engines import VARIABLE, engine
    from video_star.tools.vision.pose import estimate_pose

    frames = open_clip(str(DEMO_CLIP), 0, 2).frames()
    before, ready = os.environ.get(VARIABLE), {}
    for name, choice in engines.items():
        os.environ[VARIABLE] = choice
        ready[name] = engine().estimator
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before
    times: dict[str, list[float]] = {name: [] for name in ready}
    for number in range(rounds + 1):
        for name, estimator in ready.items():
            elapsed = seconds(lambda estimator=estimator: estimate_pose(frames, estimator))  # type: ignore[misc]
            # The first call loads the model.
            times[name] += [elapsed] if number else []
    for name, measured in times.items():
        line(
            f"pose on {len(frames)} frames, {name}",
            median(measured),
            "s",
            f"{1000 * median(measured) / len(frames):.0f} ms/frame",
        )


def hands(rounds: int) -> None:
    """Seconds of looking for hands in 16 frames of the demo clip, where none is large enough to be found."""
    from video_star.tools.video.clip import open_clip
    from video_star.tools.vision.engines import EMBEDDED
    from video_star.tools.vision.hands import estimate_hands
    from video_star.tools.vision.mediapipe_hands import MEDIAPIPE_HANDS
    from video_star.tools.vision.pose import estimate_pose

    frames = open_clip(str(DEMO_CLIP), 0, 2).frames()
    poses = estimate_pose(frames, EMBEDDED.estimator)
    estimate_hands(frames, poses, MEDIAPIPE_HANDS)  # Loads the models.
    elapsed = median(seconds(lambda: estimate_hands(frames, poses, MEDIAPIPE_HANDS)) for _ in range(rounds))
    line(f"hands, asked for, on {len(frames)} frames", elapsed, "s", f"{1000 * elapsed / len(frames):.0f} ms/frame")


def other_clips(folder: Path) -> list[Path]:
    """`RUNS` clips of two seconds each: re-encoded parts of the demo clip, every second one mirrored."""
    with av.open(str(DEMO_CLIP)) as source:
        images = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    paths = []
    for number in range(RUNS):
        path = folder / f"{number}.mp4"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("libx264", rate=10, options={"preset": "veryfast", "crf": "20"})
            stream.width, stream.height, stream.pix_fmt = images[0].shape[1], images[0].shape[0], "yuv420p"
            for image in images[number * 5 : number * 5 + 20]:
                array = np.ascontiguousarray(image[:, ::-1] if number % 2 else image, np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
            output.mux(stream.encode(None))
        paths.append(path)
    return paths


async def run(clip: Path) -> None:
    """One run of the graph with estimate_pose."""
    from video_star.graph.run import arecognize

    found = await arecognize(clip, ACTIONS, start=0, end=2, mode="static", tools=["estimate_pose"])
    if any(item.status != "ok" for item in found.evidence):
        raise RuntimeError(f"a run ended {found.status}: {found.notes}")


def processors() -> float:
    """Throughput of two threads relative to one at this moment: 2 with two idle processors."""

    def work() -> None:
        sha256(bytes(100_000_000))

    def concurrently() -> None:
        threads = [Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return 2 * seconds(work) / seconds(concurrently)


async def run_all(clips: Sequence[Path]) -> None:
    """Run all clips concurrently."""
    await asyncio.gather(*(run(clip) for clip in clips))


def concurrency(rounds: int) -> int:
    """Concurrent runs compared with one at a time, on one clip and on several; the number of targets missed."""

    def one_at_a_time(clips: Sequence[Path]) -> None:
        for clip in clips:
            with temporary_home():
                asyncio.run(run(clip))

    missed = 0
    one_at_a_time([DEMO_CLIP])  # imports and models, which only the first run of a process loads
    with tempfile.TemporaryDirectory() as folder:
        several = other_clips(Path(folder))
        for name, clips, minimum in (("the same clip", [DEMO_CLIP] * RUNS, 7.0), (f"{RUNS} clips", several, 1.5)):
            ratios, busy, available = [], [], []
            for _ in range(rounds):
                alone = seconds(lambda clips=clips: one_at_a_time(clips))  # type: ignore[misc]
                available.append(processors())
                with temporary_home():
                    used = time.process_time()
                    together = seconds(lambda clips=clips: asyncio.run(run_all(clips)))  # type: ignore[misc]
                    busy.append((time.process_time() - used) / together)
                available.append(processors())
                ratios.append(alone / together)
            line(f"{RUNS} runs, {name}, one at a time", alone, "s", f"concurrently {together:.2f} s")
            line("  processors used concurrently", median(busy), "", f"plain work gets {median(available):.2f}")
            gain = median(ratios)
            missed += not verdict(
                gain >= minimum, f"{RUNS} concurrent runs on {name}: {gain:.2f}x (target at least {minimum:g})"
            )
    return missed


def cache_hit() -> int:
    """Time to read a cached result; 1 if the target is missed."""
    from video_star.tools.registry import poses_of
    from video_star.tools.video.clip import open_clip

    clip = open_clip(str(DEMO_CLIP), 0, 6)
    with temporary_home():
        poses_of(clip)
        hit = 1000 * median(seconds(lambda: poses_of(clip)) for _ in range(200))
    line("cache hit, poses of 48 frames", hit, "ms")
    return not verdict(hit < 2, f"cache hit {hit:.2f} ms (target under 2)")


def selected_against_all(folder: Path) -> int:
    """Tool time of the tools that the policy chooses, compared with all tools, over the clips of a folder.

    Tool time is the sum of the seconds of each call on its own, with nothing cached and nothing shared between calls,
    which is how the paper's 36 % are counted. The waiting time of real runs, in which calls share results, is printed
    too. Returns 1 if the target is missed.
    """
    from video_star.graph.run import recognize
    from video_star.tools.registry import tool
    from video_star.tools.video.clip import open_clip

    seconds_by_mode = {mode: 0.0 for mode in ("agentic", "static")}
    waited = dict(seconds_by_mode)
    for path in sorted(each for each in folder.iterdir() if each.suffix in (".avi", ".mp4")):
        alone = {}
        for name in TOOLS:
            with temporary_home():
                alone[name] = seconds(lambda name=name: tool(name).run(open_clip(str(path)), ACTIONS, 8))  # type: ignore[misc]  # noqa: B023
        for mode in seconds_by_mode:
            with temporary_home():
                found = recognize(path, ACTIONS, mode=mode)
            seconds_by_mode[mode] += sum(alone[item.tool] for item in found.evidence)
            waited[mode] += found.usage.seconds.get("tool_exec", 0.0)
    line("tool time, all tools", seconds_by_mode["static"], "s", f"waited {waited['static']:.2f} s")
    line("tool time, tools chosen", seconds_by_mode["agentic"], "s", f"waited {waited['agentic']:.2f} s")
    saved = 1 - seconds_by_mode["agentic"] / seconds_by_mode["static"]
    return not verdict(
        saved >= 0.5, f"choosing tools saves {saved:.0%} of tool time (target at least 50 %, the paper 36 %)"
    )


def resident() -> float:
    """Resident memory of this process in MB; Linux only."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(clip_path: Path, calls: int, names: Sequence[str] = TOOLS) -> tuple[float, float]:
    """Resident memory in MB at the start and at the end of `calls` tool calls, after `calls / 5` for warming up.

    Every call gets a span of its own. Memory fluctuates by a tenth with the pictures in use, so both figures are
    medians over a tenth of the calls.
    """
    from video_star.tools.execution.executor import EXECUTOR
    from video_star.tools.registry import tool
    from video_star.tools.video.clip import open_clip

    whole, samples = open_clip(str(clip_path)), []
    for number in range(calls + calls // 5):
        one = tool(names[number % len(names)])
        start = number % 1000 * 0.006
        span = whole.span(start, start + 0.25 + number // 1000 * 0.01)
        with EXECUTOR.call(one.name, 60):
            EXECUTOR.run_once((one.name, number), lambda one=one, span=span: one.run(span, ACTIONS, 2))  # type: ignore[misc]
        if number >= calls // 5 and number % 5 == 0:
            samples.append(resident())
    few = max(3, len(samples) // 10)
    return median(samples[:few]), median(samples[-few:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per figure; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="also time tool selection on these clips")
    parser.add_argument(
        "--engine", action="append", default=[], metavar="NAME_OR_PATH", help="also time this engine; repeatable"
    )
    parser.add_argument(
        "--soak",
        type=int,
        default=0,
        metavar="CALLS",
        help="also measure memory over so many calls; the target is for 2000",
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    batches(5 * options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        named = {Path(name).name: name for name in options.engine}
        pose({"embedded": "embedded", **untrained(Path(folder)), **named}, options.rounds)
    hands(options.rounds)
    missed = concurrency(options.rounds) + cache_hit()
    if options.clips:
        missed += selected_against_all(options.clips)
    if options.soak:
        # In its own process: after the engines measured above, growth would not show.
        with temporary_home(), ProcessPoolExecutor(1, get_context("spawn")) as process:
            before, after = process.submit(soak, DEMO_CLIP, options.soak).result()
        line(f"memory late in {options.soak} calls", after, "MB", f"early {before:.0f} MB")
        missed += not verdict(after < 1.05 * before, f"memory grows {after / before - 1:.1%} (target under 5 %)")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
