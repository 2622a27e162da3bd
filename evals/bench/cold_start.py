"""How long the package takes to answer from nothing: imports and `--help`, each in a fresh process, in turn.

Run as `python -m video_star.evals.bench.cold_start`. The import is measured beside `import langgraph.graph`, which any
LangGraph plug-in pays.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

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
    """Median wall seconds of each command, taken in turn so that a busy moment hits all of them."""
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for round_number in range(ROUNDS + 1):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if round_number:  # the first round warms the file cache
                took[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in took.items()}


def main() -> int:
    """Print one line per figure; 1 when a target is missed."""
    seconds = measure()
    for name, value in seconds.items():
        print(f"{name:<40}{value:7.3f} s")
    added = seconds["import langgraph.graph, video_star"] - seconds["import langgraph.graph"]
    ratio = seconds["import video_star.graph"] / seconds["import langgraph.graph"]
    print(f"{'import video_star.graph / langgraph.graph':<44}{ratio:5.2f}x")
    targets = {
        f"import video_star adds {added:+.3f} s (target at most 0.3)": added <= 0.3,
        f"--help answers in {seconds['video-star --help']:.3f} s (target under 0.7)": seconds["video-star --help"]
        < 0.7,
    }
    for text, met in targets.items():
        print(f"{'PASS' if met else 'FAIL'}  {text}")
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
