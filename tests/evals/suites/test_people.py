"""The suite that counts people found and invented."""

from pathlib import Path

import numpy as np
import pytest

from video_star.evals.suites.people import MarkedFrame, Tally, read_marks
from video_star.tools.errors import BadInput
from video_star.tools.vision.people import People

LABELS = Path(__file__).parents[1] / "people_boxes.csv"


def test_the_labels_are_read_and_lie_in_the_picture() -> None:
    marks = read_marks(LABELS)
    frames = [frame for clip in marks.values() for frame in clip.values()]
    assert len(marks) == 6 and len(frames) >= 60
    boxes = np.stack([box for frame in frames for box in [*frame.people.values(), *frame.unclear]])
    assert boxes.min() >= 0 and boxes.max() <= 1 and (boxes[:, 2:] > boxes[:, :2]).all()
    assert any(not frame.people and not frame.unclear for frame in frames)


def test_found_missed_invented_and_identities_are_counted() -> None:
    one, other, unclear = ([10, 10, 30, 90], [60, 10, 80, 90], [85, 0, 100, 30])
    marks = {
        0.0: MarkedFrame({1: np.array(one) / 100, 2: np.array(other) / 100}),
        1.0: MarkedFrame({1: np.array(one) / 100}, [np.array(unclear) / 100]),
        2.0: MarkedFrame(),
    }
    boxes = np.array([one, [11, 12, 31, 88], one, [86, 2, 99, 28], [40, 40, 60, 60]], np.float32)
    people = People(
        times=np.array([0.0, 1.0, 2.0]),
        size=(100, 100),
        frame=np.array([0, 0, 1, 1, 2]),
        boxes=boxes,
        scores=np.ones(5, np.float32),
        tracks=np.array([1, 2, 3, 4, 5]),
    )
    tally = Tally()
    tally.add("clip.mp4", marks, people)
    # A second box on one person and a box on nothing are invented; a box on something unclear is not.
    assert (tally.found, tally.missed, tally.invented) == (2, 1, 2)
    assert tally.identities == {("clip.mp4", 1): {1, 3}}
    total = Tally()
    total.merge(tally)
    assert "2 of    3" in total.line("all") and "2.00" in total.line("all")


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("clip,when\na.mp4,0\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"columns.*clip,time,person"):
        read_marks(path)
