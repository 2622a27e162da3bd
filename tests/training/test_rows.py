"""Training rows hold exactly what the policy read, sampled and saw."""

import json
from pathlib import Path

import pytest

from video_star.graph.records.trace import read
from video_star.tools.errors import BadRecord
from video_star.tools.execution.media_store import MediaStore, default_store
from video_star.training.rows import rows

from .conftest import with_tracks

pytestmark = pytest.mark.slow


def test_a_fork_gives_a_row_each_with_the_pictures_read_by_then(trace: Path) -> None:
    record = with_tracks(trace, [[1, 2], [9, 9, 9], [9, 9, 9, 7, 8, 4]])
    one, other = rows(record, default_store())
    assert (one["branch"], other["branch"]) == (0, 1)
    assert one["input_ids"] == [1, 2, 7, 8] and other["input_ids"] == [9, 9, 9, 7, 8, 4, 7, 8]
    assert len(one["images"]) == len(record["frames"]) < len(other["images"])


def test_a_run_without_tokens_is_a_row_of_its_conversation(trace: Path) -> None:
    (row,) = rows(next(read(trace)), MediaStore(trace / "media"))
    assert row["input_ids"] == [] and json.loads(row["messages"])[0]["role"] == "system" and len(row["images"]) > 4


def test_a_lost_picture_is_said_not_left_out(trace: Path) -> None:
    next((trace / "media").iterdir()).unlink()
    for picture in list((trace / "media").iterdir())[:3]:
        picture.unlink()
    with pytest.raises(BadRecord, match="record the run again"):
        rows(next(read(trace)), MediaStore(trace / "media"))
