"""Runs the teacher on clips, several at a time, and verifies the traces."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from langchain_core.language_models import BaseChatModel

from ...evals.splits import Example, unique_labels
from ...graph import build_graph
from ...graph.concurrency import run_workers
from ...graph.policies.registry import resolve_policy
from ...graph.run import checked_context, run_record
from ...graph.state import Price
from ...tools.errors import (
    BadInput,
    PolicyBusy,
    PolicyDisconnected,
    PolicyUnavailable,
    PolicyUnreachable,
    ToolUnavailable,
)
from ...tools.output_files import check_appended
from ...tools.registry import TOOL_NAMES, Tool, ToolName, tool
from .folder import WRITTEN, Progress, TraceFolder
from .rules import reasons
from .scripted_teacher import ScriptedTeacher
from .verifier import judge


@dataclass(frozen=True)
class Job:
    """One trace to make."""

    example: Example
    clip: Path
    attempt: int
    """Number of the attempt at this clip, from 0."""
    actions: tuple[str, ...]
    """The candidates in the order shown."""
    seed: int
    """Different for every job."""


Teacher = Callable[[Job], BaseChatModel]
"""The policy of a job."""


def teacher_named(
    spec: str, temperature: float = 0.0, ground_truth: Callable[[Path], Mapping[str, str]] | None = None
) -> Teacher:
    """A teacher by name: `scripted`, or a policy that samples with the seed of the job.

    Args:
        spec: `scripted`, or a policy string.
        temperature: Sampling temperature of a policy.
        ground_truth: Clip to the motion primitives it shows, with their meanings, for `scripted`.

    Raises:
        UnknownPolicy: There is no such policy.
        MissingExtra: The policy needs a package that is not installed.
    """
    if spec == SCRIPTED:
        return lambda job: ScriptedTeacher(
            label=job.example.label, seed=job.seed, shown=ground_truth(job.clip) if ground_truth is not None else {}
        )
    resolve_policy(spec, temperature)
    return lambda job: resolve_policy(spec, temperature, job.seed)


@dataclass(frozen=True)
class Settings:
    """What the traces depend on."""

    teacher: str
    """Its name."""
    verifier: str = ""
    """Its name; empty: rules only."""
    candidates: int = 0
    """Candidates per question, including the right one; 0: all labels of the split."""
    attempts: int = 3
    """Attempts per clip until it has its traces."""
    traces_per_clip: int = 1
    """Verified traces wanted per clip."""
    seed: int = 0
    tool_failure_rate: float = 0.2
    """Fraction of runs in which one tool is made to fail, so that recovery can be learnt, too."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the runs: fields of `video_star.Context`."""


SCRIPTED: Final = "scripted"
FAILURES: Final = (
    "the engine ran out of memory",
    "no result within 60 s",
    "the model could not be loaded",
    "the service answered 503; try again later",
    "the engine returned nothing that can be read",
)
UNREACHED: Final = frozenset(
    kind.__name__ for kind in (PolicyUnavailable, PolicyUnreachable, PolicyBusy, PolicyDisconnected)
)
"""Errors of runs whose teacher could not be reached."""
MAX_FAILURES: Final = 5
"""Consecutive failures to reach the teacher or verifier after which synthesis stops."""


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
    concurrency: int = 8,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Make traces until exactly `target` are verified or all attempts are used up.

    It can be interrupted at any time and resumed by calling it again: no trace is lost or made twice.

    Args:
        examples: Clips with their labels; candidates are drawn from the labels of all of them.
        root: The folder that their paths are relative to.
        out: Folder for the traces; see `folder`.
        teacher: The policy of the runs.
        settings: What the traces depend on; all traces in a folder have the same settings.
        verifier: A second model that must agree; None: rules only.
        price: Of the teacher's tokens, for the cost; None if its provider reports the cost, or it is free.
        verifier_price: Of the verifier's tokens.
        target: Number of verified traces wanted.
        concurrency: Number of concurrent runs.
        on_progress: Called at the start and after each trace.

    Raises:
        BadInput: There is only one label, a setting is out of range, a clip is missing, or the folder is in use or was
            made with other settings.
        PolicyUnavailable: The teacher or the verifier repeatedly failed; finished traces are kept.
    """
    labels = unique_labels(examples)
    _check(examples, labels, root, settings)
    clips = {f"the clip {example.clip}": root / example.clip for example in examples}
    check_appended("--out", out, WRITTEN, {"the folder of the clips": root, **clips})
    traces = TraceFolder(out, asdict(settings), Progress(target, price=price, verifier_price=verifier_price))
    report = on_progress or (lambda progress: None)
    session = _Session(deque(_shuffled(examples, settings)), labels, root, teacher, settings, verifier, traces, report)
    try:
        report(traces.progress)
        await run_workers(session.work, concurrency)
    finally:
        traces.close()
    if session.gave_up():
        raise PolicyUnavailable(
            f"{session.failures[-1]}; {traces.progress.accepted} traces are kept; run the command again to resume"
        )
    return traces.progress


@dataclass
class _Session:
    """The clips that are left, and what makes and verifies their traces."""

    clips: deque[Example]
    labels: Sequence[str]
    root: Path
    teacher: Teacher
    settings: Settings
    verifier: BaseChatModel | None
    traces: TraceFolder
    report: Callable[[Progress], None]
    running: int = 0
    """Attempts under way. Together with the accepted traces they never exceed the target."""
    failures: list[str] = field(default_factory=list)
    """Consecutive failures to reach the teacher or the verifier."""

    def gave_up(self) -> bool:
        """Whether teacher or verifier failed too often."""
        return len(self.failures) >= MAX_FAILURES

    def wanted(self) -> bool:
        """Whether another attempt may begin."""
        progress = self.traces.progress
        return not self.gave_up() and progress.accepted + self.running < progress.target

    async def work(self) -> None:
        """Make traces of one clip after the other. As many workers go on as traces are missing."""
        while self.clips and self.wanted():
            example = self.clips.popleft()
            for attempt in range(self.settings.attempts):
                if not self.wanted():
                    # The attempts under way may fail, and then this clip is needed.
                    self.clips.appendleft(example)
                    return
                if self.traces.needs(example.clip, attempt) and not await self.attempt(example, attempt):
                    break

    async def attempt(self, example: Example, attempt: int) -> bool:
        """Make, verify and write one trace; whether the teacher could be reached."""
        self.running += 1
        try:
            job = _job(example, self.root, attempt, self.labels, self.settings)
            record = await _run(job, self.teacher, self.settings, self.failures)
            if record is not None:
                await _verify(record, self.traces, self.verifier, self.failures)
        finally:
            self.running -= 1
        self.report(self.traces.progress)
        return record is not None


def _check(examples: Sequence[Example], labels: Sequence[str], root: Path, settings: Settings) -> None:
    if len(labels) < 2:
        raise BadInput("the split has only one label; give one with at least two")
    if settings.candidates and not 2 <= settings.candidates <= len(labels):
        raise BadInput(
            f"candidates must be 2 to {len(labels)}, or 0 for all labels of the split; not {settings.candidates}"
        )
    if not 1 <= settings.traces_per_clip <= settings.attempts:
        raise BadInput(
            f"traces per clip must be at least 1 and at most the attempts; "
            f"not {settings.traces_per_clip} with {settings.attempts} attempts"
        )
    missing = next((example.clip for example in examples if not (root / example.clip).is_file()), None)
    if missing is not None:
        raise BadInput(f"{root} has no clip {missing}; give the folder that the split's paths are relative to")
    checked_context(settings.context)


def _shuffled(examples: Sequence[Example], settings: Settings) -> list[Example]:
    """Shuffled by the seed, so that all labels progress evenly."""
    clips = sorted({example.clip: example for example in examples}.values(), key=lambda example: example.clip)
    random.Random(settings.seed).shuffle(clips)
    return clips


def _job(example: Example, root: Path, attempt: int, labels: Sequence[str], settings: Settings) -> Job:
    rng = random.Random(f"{settings.seed} {attempt} {example.clip}")
    others = [label for label in labels if label != example.label]
    candidates = [example.label, *rng.sample(others, (settings.candidates or len(labels)) - 1)]
    rng.shuffle(candidates)
    return Job(example, root / example.clip, attempt, tuple(candidates), rng.randrange(2**31))


def _broken_tool(job: Job, settings: Settings) -> dict[ToolName, Tool]:
    """The tool that is made to fail in this run, if any."""
    rng = random.Random(job.seed)
    if rng.random() >= settings.tool_failure_rate:
        return {}
    name, reason = rng.choice(settings.context.get("tools", TOOL_NAMES)), rng.choice(FAILURES)

    def look(*_: Any) -> NoReturn:
        raise ToolUnavailable(reason)

    return {name: replace(tool(name), engine="out of order", run=look)}


async def _run(job: Job, teacher: Teacher, settings: Settings, failures: list[str]) -> dict[str, Any] | None:
    """The record of a run; None if the teacher could not be reached, which says nothing about the clip."""
    star = build_graph(policy=teacher(job), tools=_broken_tool(job, settings)).compile()
    record = await run_record(job.clip, job.actions, graph=star, **{**settings.context, "seed": job.seed})
    outcome = record["recognition"]
    if outcome["error_type"] in UNREACHED:
        failures.append(f"{outcome['error_type']}: {outcome['error']}")
        return None
    failures.clear()
    record["request"]["context"]["policy"] = settings.teacher
    failed_rules = reasons(record, job.example.label, job.example.clip)
    synthesis = {"clip": job.example.clip, "label": job.example.label, "attempt": job.attempt}
    return {**record, "synthesis": {**synthesis, "reasons": failed_rules}}


async def _verify(
    record: dict[str, Any], traces: TraceFolder, verifier: BaseChatModel | None, failures: list[str]
) -> None:
    """Check for duplicates, ask the verifier, and write the trace."""
    synthesis = record["synthesis"]
    failed_rules = synthesis["reasons"]
    if not failed_rules and not traces.claim(record):
        failed_rules["duplicate"] = "another trace is identical"
    if not failed_rules and verifier is not None:
        try:
            verdict = await judge(record, verifier, record["request"]["context"]["policy_seconds"])
        except PolicyUnavailable as error:
            failures.append(f"{type(error).__name__}: {error}")
            traces.release(record)
            return
        synthesis["verifier_tokens"] = dict(verdict.tokens)
        if verdict.wrong:
            failed_rules["verifier"] = verdict.wrong
    await traces.append(record)
