"""The agent's accuracy on Marionette: `python -m video_star.evals.suites.marionette DATA --trace FOLDER`.

Base and novel classes with tools, without sub-actions and without tools, each with its 95 % confidence interval, beside
chance. `marionette_one_frame` measures what a single frame gives away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...graph.concurrency import wait_for
from ...tools.output_files import check_different, check_trace
from ..marionette.dataset import listing
from ..marionette.knowledge import use_knowledge
from ..metrics import Estimate, accuracy, harmonic_mean
from ..runner import run_split
from ..splits import Example, read_split, unique_labels
from . import run

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def split(data: Path, name: str) -> list[Example]:
    """`base_train`, `base_val` or `novel_val` of a data set written by `video-star marionette make`."""
    path = listing(data, name)
    return read_split(path, path.with_name(f"marionette_{name.split('_')[0]}_labels.csv"))


def correct(
    examples: list[Example], data: Path, trace: Path, concurrency: int, policy: str, mode: str, title: str
) -> list[bool]:
    """Whether the agent is right on each clip, with a progress bar."""
    with Progress(*COLUMNS, transient=True) as progress:
        task = progress.add_task(title, total=len(examples))
        answers = run_split(
            examples,
            data,
            trace,
            concurrency=concurrency,
            on_answer=lambda count: progress.update(task, completed=count),
            policy=policy,
            mode=mode,
        )
        return [answer.correct for answer in wait_for(answers)]


def main(
    data: Annotated[Path, typer.Argument(help="Folder written by `video-star marionette make`.")],
    trace: Annotated[Path, typer.Option(help="Folder for the runs; an interrupted evaluation is resumed.")],
    policy: Annotated[str, typer.Option(help="Policy, as for recognize.")] = "kinematic",
    modes: Annotated[
        str, typer.Option(help="Comma-separated: agentic, static, no_sub_actions, no_tools.")
    ] = "agentic,no_sub_actions,no_tools",
    clips: Annotated[int, typer.Option(min=0, help="Only the first N clips of each split; 0: all.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 4,
) -> None:
    """Print the accuracy on base and novel classes in each mode, and chance."""
    check_different("--trace", trace, {"the data set": data})
    for mode in (name.strip() for name in modes.split(",")):
        for name in ("base", "novel"):
            check_trace(trace / f"{mode}_{name}", {})
    use_knowledge(data)
    base, novel = (split(data, name)[: clips or None] for name in ("base_val", "novel_val"))
    classes = len(unique_labels(base)), len(unique_labels(novel))
    print(f"{len(base)} base clips of {classes[0]} classes, {len(novel)} novel clips of {classes[1]}")
    for mode in (name.strip() for name in modes.split(",")):
        results = [
            correct(examples, data, trace / f"{mode}_{name}", concurrency, policy, mode, f"{mode} {name}")
            for name, examples in (("base", base), ("novel", novel))
        ]
        _line(f"{policy}, {mode}", accuracy(results[0]), accuracy(results[1]), harmonic_mean(*results))
    print(f"{'chance':<28}{100 / classes[0]:5.1f} %{'':19}{100 / classes[1]:5.1f} %")


def _line(name: str, base: Estimate, novel: Estimate, both: Estimate) -> None:
    print(f"{name:<28}{base!s:<26}{novel!s:<26}HM {both}")


if __name__ == "__main__":
    run(main)
