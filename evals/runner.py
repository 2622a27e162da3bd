"""Running the agent over a split, and what share of its answers is right, with 95 % intervals.

Runs are kept in a trace as they end, each with the clip and its label under `evaluation`; a measurement that was broken
off goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import harmonic_mean
from typing import Any, Final

import numpy as np

from ..graph.candidates import normalize_label
from ..graph.records.trace import FILE, append, read
from ..graph.run import checked_context, run_record
from ..tools.errors import BadInput
from .splits import Example, actions

RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered for a clip."""

    example: Example
    action: str | None
    """None where the run failed, which counts as wrong."""

    @property
    def right(self) -> bool:
        """Whether it is the label, spelt however."""
        return self.action is not None and normalize_label(self.action) == normalize_label(self.example.label)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share in 0..1 with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:5.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


async def answers(
    examples: Sequence[Example],
    root: Path,
    trace: Path,
    *,
    at_once: int = 4,
    on_answer: Callable[[int], None] | None = None,
    **context: Any,
) -> list[Answer]:
    """Ask about every clip, with all labels of the split as candidates.

    Args:
        examples: The split.
        root: The folder that its paths are relative to.
        trace: Where the runs are kept; what is there already is not run again.
        at_once: Runs at the same time.
        on_answer: Called with the number of clips answered so far.
        **context: Settings of the runs, fields of `video_star.Context`.

    Raises:
        BadInput: A clip is missing, a setting is unknown, or the trace holds runs of other settings.
    """
    settings = checked_context(context).model_dump()
    candidates = actions(examples)
    done = _kept(trace, settings, candidates)
    missing = next((e.clip for e in examples if e.clip not in done and not (root / e.clip).is_file()), None)
    if missing is not None:
        raise BadInput(f"{root} has no clip {missing}; give the folder that the split's paths are relative to")
    queue = iter([example for example in examples if example.clip not in done])

    async def work() -> None:
        for example in queue:
            record = await run_record(root / example.clip, candidates, **context)
            about = {"clip": example.clip, "label": example.label, "actions": candidates}
            await asyncio.to_thread(append, {**record, "evaluation": about}, trace)
            done[example.clip] = record["recognition"]["action"]
            if on_answer is not None:
                on_answer(len(done))

    await asyncio.gather(*(work() for _ in range(at_once)))
    return [Answer(example, done[example.clip]) for example in examples]


def _kept(trace: Path, settings: Mapping[str, Any], candidates: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for record in read(trace) if (trace / FILE).is_file() else ():
        about = record.get("evaluation", {})
        if record["request"]["context"] != settings or about.get("actions") != list(candidates):
            raise BadInput(f"{trace} holds runs of other settings or another split; give another folder")
        found[about["clip"]] = record["recognition"]["action"]
    return found


def rate(found: Sequence[bool]) -> Rate:
    """The share of true ones, with the percentile interval of a bootstrap over clips (seeded)."""
    return _bootstrapped([found], lambda shares: shares[0])


def harmonic(base: Sequence[bool], novel: Sequence[bool]) -> Rate:
    """The harmonic mean of two shares, as base-to-novel results are summed up, with its interval."""
    return _bootstrapped([base, novel], lambda shares: harmonic_mean([float(share) for share in shares]))


def _bootstrapped(parts: Sequence[Sequence[bool]], summed: Callable[[Sequence[float]], float]) -> Rate:
    if not all(parts):
        raise BadInput("there is no answer to count")
    chance = np.random.default_rng(0)
    arrays = [np.asarray(part, float) for part in parts]
    drawn = [array[chance.integers(0, len(array), (RESAMPLES, len(array)))].mean(axis=1) for array in arrays]
    spread = [summed(shares) for shares in zip(*drawn, strict=True)]
    low, high = np.percentile(spread, [2.5, 97.5])
    return Rate(summed([float(array.mean()) for array in arrays]), float(low), float(high))
