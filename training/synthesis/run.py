"""Running the teacher over clips, several at once, and judging what it says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from langchain_core.language_models import BaseChatModel

from ...evals.splits import Example, unique_labels
from ...graph import build_graph
from ...graph.policies.registry import resolve_policy
from ...graph.run import checked_context, run_record
from ...graph.state import Price
from ...tools.errors import BadInput, PolicyBusy, PolicyUnavailable, ToolUnavailable
from ...tools.library import TOOL_NAMES, Tool, ToolName, tool
from .folder import Chains, Progress
from .rules import reasons
from .scripted_teacher import ScriptedTeacher
from .verifier import judge


@dataclass(frozen=True)
class Job:
    """One chain to make."""

    example: Example
    clip: Path
    attempt: int
    """Which try at this clip it is, from 0."""
    actions: tuple[str, ...]
    """The candidates, in the order in which they are shown."""
    seed: int
    """Another for every job."""


Teacher = Callable[[Job], BaseChatModel]
"""The policy of a job."""


def teacher_named(
    spec: str, temperature: float = 0.0, shown: Callable[[Path], Mapping[str, str]] | None = None
) -> Teacher:
    """A teacher by name: `scripted`, or a policy, which samples anew for every job.

    Args:
        spec: The name.
        temperature: Of a policy's sampling.
        shown: What a clip truly shows, by its path, for `scripted`: see `ScriptedTeacher.shown`.

    Raises:
        UnknownPolicy: There is none of this name.
        MissingExtra: It needs a package that is not installed.
    """
    if spec == SCRIPTED:
        return lambda job: ScriptedTeacher(
            label=job.example.label, seed=job.seed, shown=shown(job.clip) if shown is not None else {}
        )
    resolve_policy(spec, temperature)
    return lambda job: resolve_policy(spec, temperature, job.seed)


@dataclass(frozen=True)
class Settings:
    """What the chains depend on."""

    teacher: str
    """Its name."""
    verifier: str = ""
    """Its name; empty for rules alone."""
    candidates: int = 0
    """How many candidates a question has, the right one among them; 0 for all labels of the split."""
    attempts: int = 3
    """Tries at a clip until it has its chains."""
    per_clip: int = 1
    """Verified chains of one clip."""
    seed: int = 0
    failing: float = 0.2
    """Share of runs, 0..1, in which one of the tools fails: what a chain does then is to be learnt, too."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the runs, fields of `video_star.Context`."""


SCRIPTED: Final = "scripted"
FAILURES: Final = (
    "the engine ran out of memory",
    "no result within 60 s",
    "the model could not be loaded",
    "the service answered 503; try again later",
    "the engine returned nothing that can be read",
)
IN_A_ROW: Final = 5
"""Teachers out of reach in a row after which the work is broken off."""


async def synthesize(
    examples: Sequence[Example],
    root: Path,
    out: Path,
    teacher: Teacher,
    settings: Settings,
    *,
    verifier: BaseChatModel | None = None,
    price: Price | None = None,
    verifier_price: Price | None = None,
    target: int = 5000,
    at_once: int = 8,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Make verified chains until there are `target`, or every clip has had its tries.

    Broken off at any moment and called again, it goes on: no chain is lost or made twice.

    Args:
        examples: Clips with their labels; the labels of all of them are the candidates.
        root: The folder that their paths are relative to.
        out: The folder of the chains; see `folder`.
        teacher: Who speaks in the runs.
        settings: What the chains depend on; a folder holds chains of one setting.
        verifier: A second model that must agree; None for rules alone.
        price: Of the teacher's tokens, for the cost in the count; None where its provider reports it, or it is free.
        verifier_price: Of the verifier's tokens.
        target: Verified chains wanted.
        at_once: Runs at the same time.
        on_progress: Called at the start and after each chain.

    Raises:
        BadInput: Nothing to choose from, a setting out of range, a clip that is missing, or a folder in use or of other
            settings.
        PolicyUnavailable: The teacher or the verifier is out of reach again and again; what was made is kept.
    """
    labels = unique_labels(examples)
    _check(examples, labels, root, settings)
    chains = Chains(out, asdict(settings), Progress(target, price=price, verifier_price=verifier_price))
    if on_progress is not None:
        on_progress(chains.progress)
    queue = iter(_in_order(examples, settings))
    failures: list[str] = []

    async def work() -> None:
        for example in queue:
            for attempt in range(settings.attempts):
                if not chains.wanted() or len(failures) >= IN_A_ROW:
                    return
                if not chains.open(example.clip, attempt):
                    continue
                record = await _chain(_job(example, root, attempt, labels, settings), teacher, settings, failures)
                if record is None:
                    break
                await _judged(record, chains, verifier, failures)
                if on_progress is not None:
                    on_progress(chains.progress)

    workers = [asyncio.ensure_future(work()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        chains.close()
    if len(failures) >= IN_A_ROW:
        raise PolicyUnavailable(f"{failures[-1]}; {chains.progress.accepted} chains are kept: run it again to go on")
    return chains.progress


def _check(examples: Sequence[Example], labels: Sequence[str], root: Path, settings: Settings) -> None:
    if len(labels) < 2:
        raise BadInput("the split has one label: there is nothing to choose from")
    if settings.candidates and not 2 <= settings.candidates <= len(labels):
        raise BadInput(f"candidates are 2 to {len(labels)}, the labels of the split, or 0 for all of them")
    if not 1 <= settings.per_clip <= settings.attempts:
        raise BadInput(
            f"give at least 1 chain per clip and as many attempts; not {settings.per_clip} of {settings.attempts}"
        )
    missing = next((example.clip for example in examples if not (root / example.clip).is_file()), None)
    if missing is not None:
        raise BadInput(f"{root} has no clip {missing}; give the folder that the split's paths are relative to")
    checked_context(settings.context)


def _in_order(examples: Sequence[Example], settings: Settings) -> list[Example]:
    """Mixed by the seed, so that the labels grow evenly."""
    mixed = sorted({example.clip: example for example in examples}.values(), key=lambda example: example.clip)
    random.Random(settings.seed).shuffle(mixed)
    return mixed


def _job(example: Example, root: Path, attempt: int, labels: Sequence[str], settings: Settings) -> Job:
    chance = random.Random(f"{settings.seed} {attempt} {example.clip}")
    others = [label for label in labels if label != example.label]
    chosen = [example.label, *chance.sample(others, (settings.candidates or len(labels)) - 1)]
    chance.shuffle(chosen)
    return Job(example, root / example.clip, attempt, tuple(chosen), chance.randrange(2**31))


def _failing(job: Job, settings: Settings) -> dict[ToolName, Tool]:
    """The tool that fails in this run, if one does."""
    chance = random.Random(job.seed)
    if chance.random() >= settings.failing:
        return {}
    name, why = chance.choice(settings.context.get("tools", TOOL_NAMES)), chance.choice(FAILURES)

    def look(*_: Any) -> NoReturn:
        raise ToolUnavailable(why)

    return {name: replace(tool(name), engine="out of order", look=look)}


async def _chain(job: Job, teacher: Teacher, settings: Settings, failures: list[str]) -> dict[str, Any] | None:
    """The record of a run; None where the teacher was out of reach, which says nothing about the clip."""
    star = build_graph(policy=teacher(job), tools=_failing(job, settings)).compile()
    record = await run_record(job.clip, job.actions, graph=star, **{**settings.context, "seed": job.seed})
    outcome = record["recognition"]
    if outcome["error_type"] in (PolicyBusy.__name__, PolicyUnavailable.__name__):
        failures.append(f"{outcome['error_type']}: {outcome['error']}")
        return None
    failures.clear()
    record["request"]["context"]["policy"] = settings.teacher
    found = reasons(record, job.example.label, job.example.clip)
    about = {"clip": job.example.clip, "label": job.example.label, "attempt": job.attempt}
    return {**record, "synthesis": {**about, "reasons": found}}


async def _judged(record: dict[str, Any], chains: Chains, verifier: BaseChatModel | None, failures: list[str]) -> None:
    """Put the chain on record, once it is known whether it holds."""
    verdict = record["synthesis"]
    found = verdict["reasons"]
    if not found and not chains.claim(record):
        found["duplicate"] = "another chain says the same"
    if not found and verifier is not None:
        try:
            judged = await judge(record, verifier, record["request"]["context"]["policy_seconds"])
        except PolicyUnavailable as error:
            failures.append(f"{type(error).__name__}: {error}")
            return
        verdict["verifier_tokens"] = dict(judged.tokens)
        if judged.wrong:
            found["verifier"] = judged.wrong
    await chains.put(record)
