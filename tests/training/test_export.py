"""Exported tables read back as the training rows of the trace."""

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from video_star.cli import app
from video_star.graph.records.trace import append
from video_star.tools.errors import BadRecord
from video_star.training.export import export

from .conftest import ACTIONS, with_tracks

pytestmark = pytest.mark.slow

datasets = pytest.importorskip("datasets", reason="needs the extra [train]")


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


def test_the_command_says_how_many_rows_it_wrote(trace: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(trace), "--out", str(tmp_path / "table")])
    assert done.exit_code == 0 and done.stdout.startswith("1 rows: ")
    refused = CliRunner().invoke(app, ["export", str(tmp_path / "nowhere"), "--out", str(tmp_path / "table")])
    assert refused.exit_code == 2


def test_an_empty_trace_raises(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").touch()
    with pytest.raises(BadRecord, match="there are no runs"):
        export(tmp_path, tmp_path / "table")


def test_a_table_replaces_neither_its_trace_nor_files_of_others(trace: Path, tmp_path: Path) -> None:
    before = sorted(trace.rglob("*"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "dataset_info.json").write_text("{}")
    (tmp_path / "link").symlink_to(trace)
    for out in (trace, trace / "media", tmp_path / "mine", tmp_path / "link", tmp_path, trace / "runs.jsonl"):
        refused = CliRunner().invoke(app, ["export", str(trace), "--out", str(out)])
        assert refused.exit_code == 2 and "Error: --out" in refused.stderr, refused.stderr
    assert sorted(trace.rglob("*")) == before and os.listdir(tmp_path / "mine") == ["dataset_info.json"]


def test_a_table_is_replaced_by_the_next_and_kept_if_that_fails(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table"
    assert export(trace, table) == export(trace, table) == 1

    def full(self: object, folder: str) -> None:
        (Path(folder) / "half").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.Dataset, "save_to_disk", full)
    failed = CliRunner().invoke(app, ["export", str(trace), "--out", str(table)])
    assert failed.exit_code == 1 and len(datasets.load_from_disk(str(table))) == 1
    assert {name for name in os.listdir(tmp_path) if name != "home"} == {"table", "trace"}
