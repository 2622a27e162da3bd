"""The figures of Marionette: `python -m video_star.evals.suites.marionette DATA --trace FOLDER`.

The agent on base and novel classes with tools, without sub-actions and without tools, each with a 95 % interval, beside
chance. What a single frame gives away is told by `one_frame`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...graph.concurrency import wait_for
from ..marionette.knowledge import use
from ..runner import Answer, Rate, answers, harmonic, rate
from ..splits import Example, actions, read_split


def split(data: Path, name: str) -> list[Example]:
    """`base_train`, `base_val` or `novel_val` of a data set that `make` wrote."""
    lists = data / "splits" / "lists"
    return read_split(lists / f"{name}.txt", lists / f"marionette_{name.split('_')[0]}_labels.csv")


def _right(found: Sequence[Answer]) -> list[bool]:
    return [answer.right for answer in found]


def main(
    data: Annotated[Path, typer.Argument(help="Folder that `video-star marionette make` wrote.")],
    trace: Annotated[Path, typer.Option(help="Folder for the runs; begun ones are gone on with.")],
    policy: Annotated[str, typer.Option(help="Policy, as for recognize.")] = "kinematic",
    modes: Annotated[
        str, typer.Option(help="Ways to run, parted by commas: agentic, static, no_sub_actions, no_tools.")
    ] = "agentic,no_sub_actions,no_tools",
    clips: Annotated[int, typer.Option(min=0, help="The first so many clips of each split; 0 for all.")] = 0,
    at_once: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 4,
) -> None:
    """Print accuracy on base and novel classes in each way to run, and chance."""
    use(data)
    base, novel = (split(data, name)[: clips or None] for name in ("base_val", "novel_val"))
    print(f"{len(base)} base clips of {len(actions(base))} actions, {len(novel)} novel of {len(actions(novel))}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    for mode in (name.strip() for name in modes.split(",")):
        found = []
        for name, part in (("base", base), ("novel", novel)):
            with Progress(*columns, transient=True) as bars:
                bar = bars.add_task(f"{mode} {name}", total=len(part))

                def tell(done: int, bars: Progress = bars, bar: object = bar) -> None:
                    bars.update(bar, completed=done)  # type: ignore[arg-type]

                asked = answers(
                    part,
                    data,
                    trace / f"{mode}_{name}",
                    at_once=at_once,
                    on_answer=tell,
                    policy=policy,
                    mode=mode,
                )
                found.append(_right(wait_for(asked)))
        _line(f"{policy}, {mode}", rate(found[0]), rate(found[1]), harmonic(*found))
    chances = 1 / len(actions(base)), 1 / len(actions(novel))
    print(f"{'chance':<28}{100 * chances[0]:5.1f} %{'':15}{100 * chances[1]:5.1f} %")


def _line(name: str, base: Rate, novel: Rate, both: Rate) -> None:
    print(f"{name:<28}{base!s:<22}{novel!s:<22}HM {both}")


if __name__ == "__main__":
    typer.run(main)
