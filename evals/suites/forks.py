"""How often a policy's runs fork: `python -m video_star.evals.suites.forks POLICY [--episodes 100] [--at-once 16]`.

A run forks where a turn does not begin with every token of the turn before. Episodes look at the bundled clip with a
seed each, at temperature 1, so that the model says something else every time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from rich.progress import Progress

from ...graph.run import run_record

ACTIONS = ["walk", "run", "hug", "wave"]


async def count(policy: str, episodes: int, at_once: int, **settings: Any) -> Counter[str]:
    """Episodes, turns, turns with tokens, forks, and how many episodes ended in each status."""
    clip = str(files("video_star.tools") / "clips" / "people_walking.mp4")
    counted: Counter[str] = Counter()
    gate = asyncio.Semaphore(at_once)
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("episodes", total=episodes)

        async def episode(seed: int) -> None:
            async with gate:
                record = await run_record(
                    clip, ACTIONS, policy=policy, seed=seed, **{"frames": 4, "temperature": 1.0, "end": 2, **settings}
                )
            found = record["recognition"]
            counted.update(
                {
                    "episodes": 1,
                    "turns": found["usage"]["policy_calls"],
                    "turns with tokens": record["tokens"]["turns"],
                    "forks": record["tokens"]["forks"],
                    f"ended {found['status']}": 1,
                }
            )
            progress.advance(task)

        await asyncio.gather(*(episode(seed) for seed in range(episodes)))
    return counted


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was counted; 1 when a run forked or left a turn without tokens."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--structured", action="store_true", help="hold each turn to its form")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home:
        os.environ["VIDEO_STAR_HOME"] = home
        settings = {"structured": "always", "reasoning": 60} if asked.structured else {"structured": "never"}
        counted = asyncio.run(count(asked.policy, asked.episodes, asked.at_once, **settings))
    for name, number in sorted(counted.items()):
        print(f"{name:<18} {number:>6}")
    whole = counted["forks"] == 0 and counted["turns"] == counted["turns with tokens"] > 0
    print(f"{'PASS' if whole else 'FAIL'}  {counted['forks']} forks in {counted['episodes']} episodes (target 0)")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
