"""How often a policy's runs fork.

Run as `python -m video_star.evals.suites.token_forks POLICY [--episodes 100] [--concurrency 16]`. A run forks when the
prompt of a turn does not begin with every token of the turn before. The episodes use the demo clip, with a seed each
and at temperature 1, so that no two conversations are alike.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from typing import Annotated, Any

import typer
from rich.progress import Progress

from ...graph.run import run_record
from ...tools.video.source import DEMO_CLIP
from . import run

ACTIONS = ["walk", "run", "hug", "wave"]


async def count(policy: str, episodes: int, concurrency: int, **settings: Any) -> Counter[str]:
    """Episodes, turns, turns with tokens, forks, and how many episodes ended with each status."""
    counts: Counter[str] = Counter()
    limit = asyncio.Semaphore(concurrency)
    context = {"policy": policy, "frames": 4, "temperature": 1.0, "end": 2, **settings}
    with Progress() as progress:
        task = progress.add_task("episodes", total=episodes)

        async def episode(seed: int) -> None:
            async with limit:
                record = await run_record(DEMO_CLIP, ACTIONS, seed=seed, **context)
            counts.update(
                {
                    "episodes": 1,
                    "turns": record["recognition"]["usage"]["policy_calls"],
                    "turns with tokens": record["tokens"]["turns"],
                    "forks": record["tokens"]["forks"],
                    f"status {record['recognition']['status']}": 1,
                }
            )
            progress.advance(task)

        await asyncio.gather(*(episode(seed) for seed in range(episodes)))
    return counts


def main(
    policy: Annotated[str, typer.Argument(help="Policy, as for recognize.")],
    episodes: Annotated[int, typer.Option(min=1, help="Number of runs.")] = 100,
    concurrency: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 16,
    structured: Annotated[bool, typer.Option("--structured", help="Constrain every turn by its grammar.")] = False,
) -> None:
    """Print the counts; exit with 1 if a run forked or a turn has no tokens."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["VIDEO_STAR_HOME"] = home
        settings = {"structured": "always", "reasoning": 60} if structured else {"structured": "never"}
        counts = asyncio.run(count(policy, episodes, concurrency, **settings))
    for name, number in sorted(counts.items()):
        print(f"{name:<18} {number:>6}")
    passed = counts["forks"] == 0 and counts["turns"] == counts["turns with tokens"] > 0
    print(f"{'PASS' if passed else 'FAIL'}  {counts['forks']} forks in {counts['episodes']} episodes (target 0)")
    raise typer.Exit(0 if passed else 1)


if __name__ == "__main__":
    run(main)
