"""Runs the agent over a split and compares its answers with the labels.

Every run is appended to a trace when it ends, with the clip and its label under `evaluation`, so an interrupted
evaluation can be resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..graph.candidates import normalize_label
from ..graph.concurrency import finished, run_workers
from ..graph.records.shape import damage
from ..graph.records.trace import FILE, append, read_numbered
from ..graph.run import checked_context, run_record
from ..tools.errors import BadInput
from ..tools.output_files import check_appended, check_trace
from .splits import Example, unique_labels


@dataclass(frozen=True, slots=True)
class Answer:
    """The agent's answer for one clip."""

    example: Example
    action: str | None
    """None if the run failed, which counts as wrong."""

    @property
    def correct(self) -> bool:
        """Whether it is the label, ignoring case and punctuation."""
        return self.action is not None and normalize_label(self.action) == normalize_label(self.example.label)


async def run_split(
    examples: Sequence[Example],
    root: Path,
    trace: Path,
    *,
    concurrency: int = 4,
    on_answer: Callable[[int], None] | None = None,
    **context: Any,
) -> list[Answer]:
    """Run the agent on every clip, with all labels of the split as candidates.

    Args:
        examples: The split.
        root: The folder that its paths are relative to.
        trace: Folder for the records; clips that it already holds are not run again.
        concurrency: Runs at the same time.
        on_answer: Called with the number of clips answered so far.
        **context: Settings of the runs, fields of `video_star.Context`.

    Raises:
        BadInput: A clip is missing, a setting is unknown, or the trace holds runs with other settings, is no trace, or
            is a clip.
        BadRecord: A record of the trace is damaged.
    """
    settings = checked_context(context).model_dump()
    candidates = unique_labels(examples)
    clips = {f"the clip {example.clip}": root / example.clip for example in examples}
    check_appended("--trace", trace, (FILE,), {"the folder of the clips": root, **clips})
    check_trace(trace, {})
    answered = _recorded(trace, settings, candidates)
    missing = next((e.clip for e in examples if e.clip not in answered and not (root / e.clip).is_file()), None)
    if missing is not None:
        raise BadInput(f"{root} has no clip {missing}; give the folder that the split's paths are relative to")
    queue = iter([example for example in examples if example.clip not in answered])

    async def worker() -> None:
        for example in queue:
            record = await run_record(root / example.clip, candidates, **context)
            evaluation = {"clip": example.clip, "label": example.label, "actions": candidates}
            await finished(asyncio.to_thread(append, {**record, "evaluation": evaluation}, trace))
            answered[example.clip] = record["recognition"]["action"]
            if on_answer is not None:
                on_answer(len(answered))

    await run_workers(worker, concurrency)
    return [Answer(example, answered[example.clip]) for example in examples]


def _recorded(trace: Path, settings: Mapping[str, Any], candidates: Sequence[str]) -> dict[str, str | None]:
    """Clip to answer, for the runs in the trace."""
    found: dict[str, str | None] = {}
    for where, record in read_numbered(trace) if (trace / FILE).is_file() else ():
        with damage(where):
            evaluation = record.get("evaluation", {})
            if record["request"]["context"] != settings or evaluation.get("actions") != list(candidates):
                raise BadInput(f"{trace} holds runs with other settings or of another split; give another folder")
            found[evaluation["clip"]] = record["recognition"]["action"]
    return found
