"""Start-up time of the package: imports and `--help`, each in a fresh process.

Run as `python -m video_star.evals.bench.cold_start`. Imports are compared with `import langgraph.graph`, which every
LangGraph plug-in pays for.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from .common import verdict

ROUNDS = 7
PYTHON = sys.executable
COMMANDS = {
    "python -c pass": [PYTHON, "-c", "pass"],
    "import langgraph.graph": [PYTHON, "-c", "import langgraph.graph"],
    "import langgraph.graph, video_star": [PYTHON, "-c", "import langgraph.graph, video_star"],
    "import video_star.graph": [PYTHON, "-c", "import video_star.graph"],
    "video-star --help": [str(Path(PYTHON).with_name("video-star")), "--help"],
}


def measure() -> dict[str, float]:
    """Median wall-clock seconds of each command; the commands take turns, so that a busy moment slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for round_number in range(ROUNDS + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if round_number:  # the first round warms the file cache
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> int:
    """Print one line per figure; 1 if a target is missed."""
    seconds = measure()
    for name, value in seconds.items():
        print(f"{name:<40}{value:7.3f} s")
    added = seconds["import langgraph.graph, video_star"] - seconds["import langgraph.graph"]
    ratio = seconds["import video_star.graph"] / seconds["import langgraph.graph"]
    print(f"{'import video_star.graph / langgraph.graph':<44}{ratio:5.2f}x")
    usage = seconds["video-star --help"]
    passed = [
        verdict(added <= 0.3, f"import video_star adds {added:+.3f} s (target at most 0.3)"),
        verdict(usage < 0.7, f"--help answers in {usage:.3f} s (target under 0.7)"),
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
