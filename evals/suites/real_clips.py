"""How often the agent is right on a handful of labelled clips, each against distractors drawn at random.

A check of the whole path on real footage, not a benchmark: a few clips cannot carry a percentage. Every clip is asked
with several draws of distractors, so that one lucky list does not decide. Run it on a manifest of your own:

    python -m video_star.evals.suites.real_clips MANIFEST.csv --pool labels.txt

The manifest has a header and a line per clip: `path,action`, paths relative to the manifest's folder.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ...graph.candidates import normalize_label
from ...graph.records.result import Recognition
from ...graph.run import recognize
from ...tools.knowledge import labels


@dataclass(frozen=True)
class Asked:
    """One question about one clip."""

    clip: str
    action: str
    candidates: tuple[str, ...]
    found: Recognition

    @property
    def rank(self) -> int:
        """Place of the right action in the ranking, from 1; one past the end when the run failed."""
        order = [item.action for item in self.found.ranking]
        return order.index(self.action) + 1 if self.action in order else len(self.candidates) + 1


def candidates(action: str, pool: Sequence[str], count: int, seed: int) -> list[str]:
    """`action` and `count - 1` others drawn from the pool, in random order; the same for the same seed."""
    draw = random.Random(f"{seed}:{action}")
    others = [label for label in pool if normalize_label(label) != normalize_label(action)]
    chosen = [action, *draw.sample(others, count - 1)]
    draw.shuffle(chosen)
    return chosen


def ask(
    clips: Sequence[tuple[Path, str]], pool: Sequence[str], *, count: int = 8, draws: int = 1, **context: Any
) -> Iterator[Asked]:
    """Ask about every clip with `draws` lists of `count` candidates."""
    for path, action in clips:
        for seed in range(draws):
            listed = candidates(action, pool, count, seed)
            yield Asked(path.name, action, tuple(listed), recognize(path, listed, **context))


def read_manifest(path: Path) -> list[tuple[Path, str]]:
    """The clips of a manifest: (path, action)."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(path.parent / row["path"], row["action"]) for row in csv.DictReader(file)]


def main(
    manifest: Annotated[Path, typer.Argument(help="CSV with the columns path and action.")],
    pool: Annotated[
        Path | None, typer.Option(help="File of distractors, one per line; the knowledge base's otherwise.")
    ] = None,
    count: Annotated[int, typer.Option(help="Candidates per question.")] = 8,
    draws: Annotated[int, typer.Option(help="Lists of candidates per clip.")] = 20,
    mode: Annotated[str, typer.Option(help="agentic, static, no_tools or no_sub_actions.")] = "agentic",
    policy: Annotated[str, typer.Option(help="Policy.")] = "kinematic",
) -> None:
    """Print, per clip and in all, how often the right action came first and among the first three."""
    others = pool.read_text(encoding="utf-8").split("\n") if pool else labels()
    asked = list(
        ask(
            read_manifest(manifest),
            [o for o in others if o.strip()],
            count=count,
            draws=draws,
            mode=mode,
            policy=policy,
        )
    )
    print(f"{'clip':<28}{'action':<20}{'top 1':>7}{'top 3':>7}   most often first")
    for clip, action in dict.fromkeys((item.clip, item.action) for item in asked):
        mine = [item for item in asked if item.clip == clip]
        firsts = [item.found.action or "no answer" for item in mine]
        common = max(set(firsts), key=firsts.count)
        print(f"{clip:<28}{action:<20}{_share(mine, 1):>7.2f}{_share(mine, 3):>7.2f}   {common}")
    print(f"{'all':<48}{_share(asked, 1):>7.2f}{_share(asked, 3):>7.2f}")
    print(f"{'chance':<48}{1 / count:>7.2f}{min(1.0, 3 / count):>7.2f}")


def _share(asked: Sequence[Asked], within: int) -> float:
    return sum(item.rank <= within for item in asked) / len(asked)


if __name__ == "__main__":
    typer.run(main)
