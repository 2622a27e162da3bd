"""Start-up time of the package, each command in a fresh process.

Run as `python -m video_star.evals.bench.cold_start`. What a LangGraph plug-in cannot avoid is measured beside it, as
`import langgraph.graph` alone and with onnxruntime and av.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from ...tools.video.source import DEMO_CLIP
from .common import temporary_home, verdict

ROUNDS: Final = 7
PYTHON: Final = sys.executable
SCRIPT: Final = str(Path(PYTHON).with_name("video-star"))
KNOWLEDGE: Final = "from video_star.tools.knowledge import labels"
LIBRARIES: Final = "import langgraph.graph, onnxruntime, av"
DOCTOR: Final = "video-star doctor"
LABELS: Final = "walk, run, jump, sit, wave, hug, shake hands, ride bike"
COMMANDS: Final = {
    "import langgraph.graph": [PYTHON, "-c", "import langgraph.graph"],
    "import langgraph.graph, video_star": [PYTHON, "-c", "import langgraph.graph, video_star"],
    "import video_star.graph": [PYTHON, "-c", "import video_star.graph"],
    LIBRARIES: [PYTHON, "-c", LIBRARIES],
    KNOWLEDGE: [PYTHON, "-c", KNOWLEDGE],
    f"{KNOWLEDGE}; labels()": [PYTHON, "-c", f"{KNOWLEDGE}; labels()"],
    "video-star --help": [SCRIPT, "--help"],
    "video-star recognize, tool results cached": [SCRIPT, "recognize", str(DEMO_CLIP), "--actions", LABELS, "--json"],
    DOCTOR: [SCRIPT, "doctor"],
}


def spent_by(command: list[str]) -> tuple[float, float]:
    """Processor seconds (user and system) and elapsed seconds of a command that succeeds.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def measure() -> dict[str, float]:
    """Median seconds of each command; they take turns, so that a busy moment slows all of them.

    Processor seconds, but elapsed seconds for `doctor`, which works in several threads.
    """
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with temporary_home():
        for round_number in range(ROUNDS + 1):
            for name, command in COMMANDS.items():
                processor, elapsed = spent_by(command)
                if round_number:  # The first round fills the caches.
                    seconds[name].append(elapsed if name == DOCTOR else processor)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> int:
    """Print one line per figure; 1 if a target is missed."""
    seconds = measure()
    for name, value in seconds.items():
        print(f"{name:<60}{value:7.3f} s")
    added = seconds["import langgraph.graph, video_star"] - seconds["import langgraph.graph"]
    ratio = seconds["import video_star.graph"] / seconds["import langgraph.graph"]
    print(f"{'import video_star.graph / langgraph.graph':<60}{ratio:6.2f}x")
    knowledge = seconds[f"{KNOWLEDGE}; labels()"] - seconds[KNOWLEDGE]
    cached = seconds["video-star recognize, tool results cached"] - seconds[LIBRARIES]
    usage, doctor = seconds["video-star --help"], seconds[DOCTOR]
    passed = [
        verdict(added <= 0.3, f"import video_star adds {added:+.3f} s (target at most 0.3)"),
        verdict(usage < 0.7, f"--help answers in {usage:.3f} s (target under 0.7)"),
        verdict(knowledge < 0.1, f"the knowledge base opens in {knowledge:.3f} s (target under 0.1)"),
        verdict(cached <= 1.0, f"a cached recognize adds {cached:+.3f} s to its libraries (target at most 1.0)"),
        verdict(doctor < 3.0, f"doctor answers in {doctor:.3f} s (target under 3)"),
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
