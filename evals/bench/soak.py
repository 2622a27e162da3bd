"""Many runs at once, some with failing tools: none is lost, none differs from the same run alone, nothing grows.

Run as `python -m video_star.evals.bench.soak [--runs 500] [--concurrency 64] [--failing 0.3] [--seed 0]`. Every run
looks at half a second of the demo clip with three tools, of whose calls the given share fails in one of ten ways. First
all runs are made side by side with nothing cached, then each of them alone, and the two records are compared: all
messages, evidence, scores and notes. Threads and memory are sampled whenever a run ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from video_star.graph import build_graph
from video_star.graph.concurrency import run_workers
from video_star.graph.run import run_record
from video_star.tools.errors import ToolBusy
from video_star.tools.registry import Finding, Tool, ToolName, tool
from video_star.tools.video.source import DEMO_CLIP

from .common import temporary_home, verdict
from .tools import line

TOOLS: Final[tuple[ToolName, ...]] = ("track_motion", "estimate_pose", "explain_actions")
ACTIONS: Final = ["walk", "run", "hug", "shake hands", "ride a bike", "sit down"]
SPANS: Final = 24
"""Different spans of the clip, each half a second long."""
ERRORS: Final = (
    RuntimeError("bad weights"),
    ValueError("not finite"),
    TypeError("'NoneType' is not a frame"),
    AssertionError("no boxes"),
    MemoryError("out of memory"),
    OSError(28, "No space left on device"),
    ConnectionResetError("reset by peer"),
    ToolBusy("the service answered 503"),
    SystemExit(9),
)
"""What failing calls raise; a tenth kind returns nothing."""
MOMENTARY: Final = {"id", "tool_call_id", "created", "timings", "seconds"}
"""Fields of a record that differ from run to run."""


@dataclass(frozen=True)
class Run:
    """One run."""

    start: float
    """Seconds; the span ends 0.5 s later."""
    actions: Sequence[str]
    failures: Mapping[ToolName, int]
    """Failing tools, with the number of their failure: an error of `ERRORS`, or one beyond for a blank result."""

    async def record(self) -> dict[str, Any]:
        """Make the run, and return its record."""
        broken = {name: _failing(tool(name), number) for name, number in self.failures.items()}
        settings: dict[str, Any] = {"mode": "static", "tools": list(TOOLS), "frames": 2, "tool_seconds": 3600.0}
        star = build_graph(tools=broken).compile()
        return await run_record(DEMO_CLIP, self.actions, start=self.start, end=self.start + 0.5, graph=star, **settings)


def _failing(sound: Tool, number: int) -> Tool:
    """The tool as it fails in one run. Name and engine stay, as in a tool that fails now and then."""

    def run(*_: Any, **__: Any) -> Finding:
        if number < len(ERRORS):
            raise ERRORS[number]
        return Finding(" ", None)

    return replace(sound, run=run)


def drawn(count: int, failing: float, seed: int, spans: int = SPANS) -> list[Run]:
    """`count` runs on `spans` different spans, with a fraction of `failing` of their tool calls failing."""
    chance = random.Random(seed)

    def one() -> Run:
        failures = {name: chance.randrange(len(ERRORS) + 1) for name in TOOLS if chance.random() < failing}
        return Run(chance.randrange(spans) * 0.25, chance.sample(ACTIONS, 4), failures)

    return [one() for _ in range(count)]


@dataclass
class Crowd:
    """What happened to runs that were made side by side."""

    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By number of the run."""
    threads: list[int] = field(default_factory=list)
    """Threads of the process whenever a run ended."""
    megabytes: list[float] = field(default_factory=list)
    """Resident memory at the same moments; NaN except on Linux."""


async def crowd(runs: Sequence[Run], concurrency: int) -> Crowd:
    """Make the runs, `concurrency` at once."""
    seen = Crowd()
    numbered = iter(enumerate(runs))

    async def worker() -> None:
        for number, run in numbered:
            seen.records[number] = await run.record()
            seen.threads.append(threading.active_count())
            seen.megabytes.append(_resident())

    await run_workers(worker, concurrency)
    return seen


def _resident() -> float:
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages.exists() else float("nan")


def differing(runs: Sequence[Run], crowd: Crowd) -> Iterator[tuple[int, str]]:
    """Runs that are lost, or differ from the same run made alone, with what differs."""
    for number, run in enumerate(runs):
        if number not in crowd.records:
            yield number, "it is lost"
            continue
        together, alone = lasting(crowd.records[number]), lasting(asyncio.run(run.record()))
        if together != alone:
            names = [name for name in alone if together.get(name) != alone[name]]
            yield number, f"{', '.join(names)}: {_first_difference(together, alone)}"


def lasting(value: Any) -> Any:
    """A record without what differs from run to run."""
    if isinstance(value, dict):
        return {key: lasting(each) for key, each in value.items() if key not in MOMENTARY}
    return [lasting(each) for each in value] if isinstance(value, list) else value


def _first_difference(one: Any, other: Any) -> str:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next((_first_difference(one[key], other[key]) for key in one if one[key] != other[key]), "")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next((_first_difference(a, b) for a, b in zip(one, other, strict=True) if a != b), "")
    return f"{str(one)[:200]!r} instead of {str(other)[:200]!r}"


def early_and_late(samples: Sequence[float]) -> tuple[float, float]:
    """Medians of the second and of the last fifth: in the first one, models are loaded."""
    fifth = max(1, len(samples) // 5)
    return median(samples[fifth : 2 * fifth]), median(samples[-fifth:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per figure; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--failing", type=float, default=0.3, help="share of tool calls that fail")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    runs = drawn(options.runs, options.failing, options.seed)
    before = threading.active_count()
    with temporary_home():
        seen = asyncio.run(crowd(runs, options.concurrency))
    after = threading.active_count()
    calls = [item for record in seen.records.values() for item in record["recognition"]["evidence"]]
    failed = sum(item["status"] != "ok" for item in calls) / max(1, len(calls))
    line("tool calls that failed", 100 * failed, "%", f"{len(calls)} calls")
    with temporary_home():
        wrong = list(differing(runs, seen))
    for number, why in wrong[:10]:
        print(f"run {number}: {why}")
    early, late = early_and_late(seen.megabytes)
    line("memory, late", late, "MB", f"early {early:.0f} MB")
    line("threads, most", max(seen.threads), "", f"early {early_and_late(seen.threads)[0]:g}, at the end {after}")
    met = (
        verdict(len(seen.records) == len(runs), f"{len(seen.records)} of {len(runs)} runs ended"),
        verdict(not wrong, f"{len(wrong)} runs differ from the same run alone"),
        verdict(not late >= 1.1 * early, f"memory grows by {late / early - 1:.1%} (target under 10 %)"),
        verdict(after <= before + 16, f"{after - before} more threads after the runs (target at most 16)"),
    )
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
