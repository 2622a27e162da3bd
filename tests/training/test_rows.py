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


def test_each_branch_is_a_row_with_the_images_it_read(trace: Path) -> None:
    record = with_tracks(trace, [[1, 2], [9, 9, 9], [9, 9, 9, 7, 8, 4]])
    one, other = rows(record, default_store())
    assert (one["branch"], other["branch"]) == (0, 1)
    assert one["input_ids"] == [1, 2, 7, 8] and other["input_ids"] == [9, 9, 9, 7, 8, 4, 7, 8]
    assert len(one["images"]) == len(record["frames"]) < len(other["images"])


def test_a_run_without_tokens_is_one_row_with_its_conversation(trace: Path) -> None:
    (row,) = rows(next(read(trace)), MediaStore(trace / "media"))
    assert row["input_ids"] == [] and json.loads(row["messages"])[0]["role"] == "system" and len(row["images"]) > 4


def test_a_missing_image_raises(trace: Path) -> None:
    next((trace / "media").iterdir()).unlink()
    for image in list((trace / "media").iterdir())[:3]:
        image.unlink()
    with pytest.raises(BadRecord, match="record the run again"):
        rows(next(read(trace)), MediaStore(trace / "media"))
