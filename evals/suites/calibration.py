"""Fits the confidence of `kinematic` on Marionette, and checks it on clips of other seeds, in every mode.

    python -m video_star.evals.suites.calibration FIT ... --test TEST --test TEST_HARD --trace FOLDER

`FIT` and `TEST` are data sets of `video-star marionette make`; `--hard` ones belong in both. The fit asks about every
clip with several lists of candidates, long and short, and chooses the constants of `kinematic.confidence` by maximum
likelihood; it writes `graph/policies/kinematic/calibration.json`. Without `FIT` nothing is written. The check runs the
agent and prints, for each mode, the accuracy, the mean confidence, the expected calibration error, and the area under
the risk-coverage curve beside that of a constant. Measurements and runs are kept: an interrupted command is resumed.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final
from zlib import crc32

import numpy as np
import typer
from rich.progress import track

from ...graph.candidates import Candidates
from ...graph.concurrency import wait_for
from ...graph.nodes.decompose import with_shortlists
from ...graph.policies.kinematic import confidence
from ...graph.policies.kinematic.confidence import Calibration, Support, Way, calibrations
from ...graph.policies.kinematic.matching import posterior
from ...graph.policies.kinematic.policy import Read, decompose, score
from ...graph.ranking import weigh
from ...graph.records.trace import read
from ...graph.replies.answer import parse_score_turn
from ...tools.errors import MissingExtra
from ...tools.execution.media_store import write_atomically
from ...tools.knowledge import define_all, labels
from ...tools.motion.measurements import Measurements
from ...tools.output_files import check_different
from ...tools.registry import tool
from ...tools.video.clip import open_clip
from ..calibration_metrics import calibration_error, calibration_error_by_chance, risk_coverage_area
from ..marionette.actions import ACTIONS
from ..marionette.knowledge import use_knowledge
from ..runner import run_split
from ..splits import Example
from . import run

try:
    from scipy.optimize import minimize
except ImportError:
    raise MissingExtra("fitting needs scipy: pip install 'video-star[evals]'") from None

CONSTANTS: Final = Path(confidence.__file__).with_name(confidence.FILE)
MODES: Final = ("agentic", "static", "no_tools", "no_sub_actions")
WAYS: Final[tuple[Way, ...]] = ("sub_actions", "whole_actions")
OWN_LISTS: Final = (2, 3, 5, 10)
"""Lengths of lists of Marionette's actions; all actions of the clip's split are asked about, too."""
OTHER_LISTS: Final = (5, 10, 30)
"""Lengths of lists of the clip's action and labels of the knowledge base."""
LONG: Final = 10
"""Candidates of the lists that are fitted: most short ones are answered right, and would outweigh the long ones."""
UNUSUAL: Final = 25
"""Percent of the answers that explain less than is usual. With fewer, Marionette is fitted slightly better, but the
confidence is as high on other footage as on Marionette."""
HEADER: Final = (
    f"{'':<24}{'answers':>8}{'accuracy':>10}{'confidence':>12}{'ECE':>8}{'exact':>23}{'AURC':>8}{'constant':>25}"
)
"""exact: the ECE of exact confidences on as many answers; constant: the AURC of a constant confidence."""

Outcome = tuple[float, bool]
"""The confidence of an answer, and whether it is right."""


@dataclass(frozen=True)
class Case:
    """One answer of the policy."""

    support: Support
    correct: bool


def items(data: Path) -> list[tuple[Path, str]]:
    """Clips and labels of a data set."""
    with (data / "splits" / "items.csv").open(newline="", encoding="utf-8") as file:
        return [(data / "clips" / f"{row['id']}.mp4", row["label"]) for row in csv.DictReader(file)]


def lists_of(label: str, pool: Sequence[str], seed: str) -> Iterator[list[str]]:
    """Lists of candidates with `label`, the same for the same seed."""
    rng = random.Random(seed)
    yield [other for other, action in ACTIONS.items() if action.split == ACTIONS[label].split]
    for lengths, names in ((OWN_LISTS, list(ACTIONS)), (OTHER_LISTS, pool)):
        others = [name for name in names if name != label]
        for length in lengths:
            yield [label, *rng.sample(others, length - 1)]


def answered(observed: Measurements, actions: Sequence[str], way: Way) -> tuple[str, Support]:
    """The policy's answer, and what speaks for it."""
    known = Read(tuple(sorted(actions)), observed, define_all(sorted(actions)))
    named: list[dict[str, object]] = []
    if way == "sub_actions":
        named = with_shortlists(decompose(known).tool_calls[0]["args"]["sub_actions"], known.actions)
    lists = {str(item["rank"]): {"sub_action": item["name"], "candidates": item["candidates"]} for item in named}
    reply = score(known, lists).text
    scored = parse_score_turn(reply, Candidates.of(known.actions), [str(item["name"]) for item in named])
    totals = weigh(scored.scores, len(named))
    shares = posterior(observed, known.definitions)
    return scored.answer, Support.of(scored.answer, totals, shares, observed, known.definitions, len(actions))


def cases(clips: Sequence[tuple[Path, str]]) -> dict[Way, list[Case]]:
    """Answers for every clip and list of candidates, by what was scored."""
    pool, found = labels(), dict[Way, list[Case]]({way: [] for way in WAYS})
    for path, label in track(clips, "fit"):
        measured = tool("track_motion").run(open_clip(str(path)), (), 0).measured
        for actions in lists_of(label, pool, path.stem):
            for way in WAYS:
                answer, support = answered(Measurements.from_json(measured), actions, way)
                found[way].append(Case(support, answer == label))
    return found


def fit(found: Sequence[Case]) -> Calibration:
    """The constants under which the answers' being right is likeliest."""
    explained = max(0.01, float(np.percentile([case.support.explained for case in found], UNUSUAL)))
    observed = float(np.median([case.support.observed for case in found]))

    def made(constants: np.ndarray) -> Calibration:
        temper, margin, shown = map(float, constants)
        return Calibration(temper, margin, shown, explained, observed)

    def loss(constants: np.ndarray) -> float:
        calibration = made(constants)
        given = np.array([calibration.confidence(case.support) for case in found])
        likelihood = np.where([case.correct for case in found], given, 1 - given)
        return float(-np.log(np.maximum(likelihood, 1e-9)).mean())

    return made(minimize(loss, (1.5, 1.0, 0.5), bounds=((0, 9), (0, 9), (0, 3))).x)


def write(calibration: Mapping[Way, Calibration], clips: int) -> Path:
    """Write the constants where the policy reads them."""
    content: dict[str, object] = {"calibrated_on": f"{clips} rendered clips (Marionette)"}
    for way, one in calibration.items():
        content[way] = {name: round(value, 4) for name, value in asdict(one).items()}
    write_atomically(CONSTANTS, f"{json.dumps(content, indent=2)}\n".encode())
    calibrations.cache_clear()
    return CONSTANTS


def check(data: Path, trace: Path, mode: str, concurrency: int) -> list[Outcome]:
    """Outcomes of the agent for every clip, asked about with all actions of its split."""
    by_split: dict[str, list[Example]] = {}
    for path, label in items(data):
        by_split.setdefault(ACTIONS[label].split, []).append(Example(str(path.relative_to(data)), label))
    found: list[Outcome] = []
    for split, examples in by_split.items():
        # The confidence in a record is that of the constants at the time.
        runs = trace / f"{data.name}_{mode}_{split}_{crc32(CONSTANTS.read_bytes()):08x}"
        answers = wait_for(run_split(examples, data, runs, concurrency=concurrency, policy="kinematic", mode=mode))
        sure = {record["evaluation"]["clip"]: record["recognition"]["confidence"] for record in read(runs)}
        found += [(sure[answer.example.clip], answer.correct) for answer in answers]
    return found


def line(name: str, found: Sequence[Outcome]) -> str:
    """One row of the table."""
    given, right = [p for p, _ in found], [correct for _, correct in found]
    error, area = calibration_error(given, right), risk_coverage_area(given, right)
    return (
        f"{name:<24}{len(found):>8}{np.mean(right):>10.3f}{np.mean(given):>12.3f}"
        f"{error.value:>8.3f} [{error.low:.3f}, {error.high:.3f}]{calibration_error_by_chance(given):>8.3f}"
        f"{area.value:>8.3f} [{area.low:.3f}, {area.high:.3f}]{1 - np.mean(right):>10.3f}"
    )


def main(
    fitted: Annotated[list[Path] | None, typer.Argument(help="Data sets for the fit; none: check only.")] = None,
    test: Annotated[list[Path] | None, typer.Option(help="Data set of another seed for the check; repeatable.")] = None,
    trace: Annotated[Path, typer.Option(help="Folder for the runs of the check.")] = Path("runs/calibration"),
    modes: Annotated[str, typer.Option(help="Comma-separated modes of the check.")] = ",".join(MODES),
    concurrency: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 4,
) -> None:
    """Fit, write and check the confidence of `kinematic`."""
    for data in (*(fitted or ()), *(test or ())):
        check_different("--trace", trace, {"the data set": data})
    use_knowledge((fitted or test or [Path()])[0])
    if fitted:
        clips = [item for data in fitted for item in items(data)]
        found = cases(clips)
        long = {way: [one for one in found[way] if one.support.candidates >= LONG] for way in WAYS}
        print(f"wrote {write({way: fit(long[way]) for way in WAYS}, len(clips))}")
    if not test:
        return
    print(HEADER)
    for way, answers in cases([item for data in test for item in items(data)]).items():
        calibration = calibrations()[1][way]
        print(line(f"{way}, all lists", [(calibration.confidence(one.support), one.correct) for one in answers]))
    for mode in (name.strip() for name in modes.split(",")):
        print(line(mode, [one for data in test for one in check(data, trace, mode, concurrency)]), flush=True)


if __name__ == "__main__":
    run(main)
