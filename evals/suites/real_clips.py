"""How often the agent is right on a handful of labelled real clips, against randomly drawn distractors.

This checks the whole path on real footage; a few clips are not a benchmark. Every clip is asked about with several
lists of distractors, so that one lucky list does not decide. Run it on a manifest of your own:

    python -m video_star.evals.suites.real_clips MANIFEST.csv --pool labels.txt

The manifest is a CSV file with the columns `path,action`; paths are relative to its folder.
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
from . import run


@dataclass(frozen=True)
class Trial:
    """One question about one clip."""

    clip: str
    action: str
    candidates: tuple[str, ...]
    recognition: Recognition

    @property
    def rank(self) -> int:
        """Rank of the right action, from 1; one past the last candidate if the run failed."""
        order = [item.action for item in self.recognition.ranking]
        return order.index(self.action) + 1 if self.action in order else len(self.candidates) + 1


def candidates(action: str, pool: Sequence[str], count: int, seed: int) -> list[str]:
    """`action` and `count - 1` distractors from the pool, shuffled; the same for the same seed."""
    rng = random.Random(f"{seed}:{action}")
    others = [label for label in pool if normalize_label(label) != normalize_label(action)]
    sample = [action, *rng.sample(others, count - 1)]
    rng.shuffle(sample)
    return sample


def run_trials(
    clips: Sequence[tuple[Path, str]], pool: Sequence[str], *, count: int = 8, draws: int = 1, **context: Any
) -> Iterator[Trial]:
    """Ask about every clip with `draws` lists of `count` candidates."""
    for path, action in clips:
        for seed in range(draws):
            sample = candidates(action, pool, count, seed)
            yield Trial(path.name, action, tuple(sample), recognize(path, sample, **context))


def read_manifest(path: Path) -> list[tuple[Path, str]]:
    """The clips of a manifest as (path, action)."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(path.parent / row["path"], row["action"]) for row in csv.DictReader(file)]


def top(trials: Sequence[Trial], k: int) -> float:
    """Proportion of trials with the right action among the first k."""
    return sum(trial.rank <= k for trial in trials) / len(trials)


def main(
    manifest: Annotated[Path, typer.Argument(help="CSV file with the columns path and action.")],
    pool: Annotated[
        Path | None, typer.Option(help="Distractors, one per line; default: the labels of the knowledge base.")
    ] = None,
    count: Annotated[int, typer.Option(help="Candidates per question.")] = 8,
    draws: Annotated[int, typer.Option(help="Questions per clip, each with other distractors.")] = 20,
    mode: Annotated[str, typer.Option(help="agentic, static, no_tools or no_sub_actions.")] = "agentic",
    policy: Annotated[str, typer.Option(help="Policy, as for recognize.")] = "kinematic",
) -> None:
    """Print top-1 and top-3 accuracy for each clip and for all."""
    distractors = pool.read_text(encoding="utf-8").split("\n") if pool else labels()
    distractors = [label for label in distractors if label.strip()]
    clips = read_manifest(manifest)
    trials = list(run_trials(clips, distractors, count=count, draws=draws, mode=mode, policy=policy))
    print(f"{'clip':<28}{'action':<20}{'top 1':>7}{'top 3':>7}   most frequent answer")
    for clip, action in dict.fromkeys((trial.clip, trial.action) for trial in trials):
        own = [trial for trial in trials if trial.clip == clip]
        answers = [trial.recognition.action or "no answer" for trial in own]
        common = max(set(answers), key=answers.count)
        print(f"{clip:<28}{action:<20}{top(own, 1):>7.2f}{top(own, 3):>7.2f}   {common}")
    print(f"{'all':<48}{top(trials, 1):>7.2f}{top(trials, 3):>7.2f}")
    print(f"{'chance':<48}{1 / count:>7.2f}{min(1.0, 3 / count):>7.2f}")


if __name__ == "__main__":
    run(main)
