"""Exported rows hold exactly what the policy read, sampled and saw."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from video_star import recognize
from video_star.cli import app
from video_star.graph.records.trace import append, read
from video_star.tools.errors import BadRecord
from video_star.tools.execution.media_store import MediaStore, default_store
from video_star.training.export import export, rows

pytestmark = pytest.mark.slow

datasets = pytest.importorskip("datasets", reason="needs the extra [train]")
ACTIONS = ["walk", "run", "hug"]


@pytest.fixture
def trace(tmp_path: Path, walking_clip: Path) -> Path:
    folder = tmp_path / "trace"
    recognize(walking_clip, ACTIONS, end=1, trace=folder)
    return folder


def with_tracks(trace: Path, prompts: list[list[int]]) -> dict[str, Any]:
    """The trace's record as a policy with tokens would have left it."""
    record = next(read(trace))
    turns = [message for message in record["messages"] if message.get("author") == "policy"]
    for message, prompt in zip(turns, prompts, strict=True):
        track = {"prompt_ids": prompt, "completion_ids": [7, 8], "logprobs": [-0.5, -0.25]}
        message["tokens"] = default_store().put_json(track)
    return record


def test_a_run_is_one_row_that_reads_back(trace: Path, tmp_path: Path) -> None:
    record = with_tracks(trace, [[1, 2], [1, 2, 7, 8, 3], [1, 2, 7, 8, 3, 7, 8, 4]])
    tokens = tmp_path / "tokens"
    append(record, tokens)
    assert export(tokens, tmp_path / "table") == 1
    (row,) = datasets.load_from_disk(str(tmp_path / "table"))
    assert row["input_ids"] == [1, 2, 7, 8, 3, 7, 8, 4, 7, 8] and row["sampled"] == [0, 0, 1, 1, 0, 1, 1, 0, 1, 1]
    assert [span["node"] for span in row["spans"]] == ["tool_select", "decompose", "score"]
    assert row["logprobs"][2:4] == [-0.5, -0.25] and row["actions"] == ACTIONS and row["status"] == "ok"
    shown = [
        p for m in json.loads(row["messages"]) if isinstance(m["content"], list) for p in m["content"] if "url" in p
    ]
    assert len(row["images"]) == len(shown) > 4
    assert Image.open(io.BytesIO(row["images"][0])).format == "JPEG"


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


def test_the_command_says_how_many_rows_it_wrote(trace: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(trace), "--out", str(tmp_path / "table")])
    assert done.exit_code == 0 and done.stdout.startswith("1 rows: ")
    refused = CliRunner().invoke(app, ["export", str(tmp_path / "nowhere"), "--out", str(tmp_path / "table")])
    assert refused.exit_code == 2


def test_an_empty_trace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").touch()
    with pytest.raises(BadRecord, match="holds no run"):
        export(tmp_path, tmp_path / "table")
