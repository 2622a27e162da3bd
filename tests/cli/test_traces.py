"""`video-star show` on a recorded run."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..console import SCRIPT, error_of, invoke, one_error_line, typed
from .conftest import Answered

pytestmark = pytest.mark.slow


def test_show_gives_the_recorded_run_though_the_store_is_gone(answered: Answered, tmp_path: Path, home: Path) -> None:
    assert not home.exists()
    trace = answered.folder / "out" / "trace"
    shown = invoke("show", trace, "--json")
    assert shown.exit_code == 0 and json.loads(shown.stdout) == answered.found and shown.stdout.count("\n") == 1
    told = invoke("show", trace, "--report", tmp_path / "a" / "page.html")
    assert told.exit_code == 0 and "walk" in told.stdout and "tool_select · assistant · by policy" in told.stdout
    pages = [tmp_path / "a" / "page.html", answered.folder / "out" / "page" / "run.html"]
    assert len({page.read_text(encoding="utf-8").count("data:image/jpeg") for page in pages}) == 1


def test_a_run_without_a_confidence_says_so(answered: Answered, tmp_path: Path) -> None:
    record = json.loads((answered.folder / "out" / "trace" / "runs.jsonl").read_text(encoding="utf-8"))
    for kept in ({}, {"confidence": None, "calibrated_on": None}):
        recognition = {k: v for k, v in record["recognition"].items() if k not in ("confidence", "calibrated_on")}
        (tmp_path / "runs.jsonl").write_text(json.dumps({**record, "recognition": {**recognition, **kept}}) + "\n")
        told = invoke("show", tmp_path)
        assert told.exit_code == 0 and "no confidence" in told.stdout


def test_show_finds_a_run_by_the_beginning_of_its_id(answered: Answered) -> None:
    trace = answered.folder / "out" / "trace"
    run = json.loads((trace / "runs.jsonl").read_text(encoding="utf-8"))["id"]
    assert invoke("show", trace / "runs.jsonl", "--run", run[:6]).exit_code == 0
    missed = invoke("show", trace, "--run", "zzz")
    assert missed.exit_code == 2 and error_of(missed) == "BadRecord"


def test_a_reader_that_leaves_early_is_no_error(answered: Answered, warm: Path, tmp_path: Path) -> None:
    shell = f"'{SCRIPT}' show '{answered.folder / 'out' / 'trace'}' | head -n 1"
    ended = typed("-c", shell, program=("bash",), folder=tmp_path)
    assert ended.stdout.count("\n") == 1 and ended.stderr == ""


def _changed(record: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    """The record with another value in one place."""
    changed: Any = copy.deepcopy(record)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(changed)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of every value inside a record; of a list, only of its first and last item."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    kept = [item for k, item in enumerate(inner) if isinstance(value, dict) or k in (0, len(value) - 1)]
    for key, each in kept:
        yield from _places(each, (*path, key))


DAMAGED: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "messages a number": (("messages",), 7),
    "messages null": (("messages",), None),
    "messages of text": (("messages",), ["hello"]),
    "content a number": (("messages", 1, "content"), 7),
    "bare text of the graph": (("messages", 1, "content"), ["hello"]),
    "text without text": (("messages", 1, "content"), [{"type": "text"}]),
    "calls of text": (("messages", 2, "tool_calls"), ["look"]),
    "arguments of text": (("messages", 2, "tool_calls"), [{"name": "look", "args": "far"}]),
    "no result": (("recognition",), None),
    "ranking of text": (("recognition", "ranking"), ["walk"]),
    "a score of text": (("recognition", "ranking", 0, "score"), "0.5"),
    "a status of its own": (("recognition", "status"), "[/]"),
    "notes null": (("recognition", "notes"), None),
    "id a number": (("id",), 5),
    "timings of text": (("timings",), ["score"]),
    "frames a number": (("frames",), 3),
    "request of text": (("request",), "walk"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_record_is_named_with_its_line(answered: Answered, name: str, tmp_path: Path) -> None:
    good = (answered.folder / "out" / "trace" / "runs.jsonl").read_text(encoding="utf-8")
    path, value = DAMAGED[name]
    (tmp_path / "runs.jsonl").write_text(good + json.dumps(_changed(json.loads(good), *path, value=value)) + "\n")
    for words in ((), ("--json",), ("--report", tmp_path / "page.html")):
        refused = invoke("show", tmp_path, *words)
        assert refused.exit_code == 2 and refused.stdout == "" and error_of(refused) == "BadRecord"
        assert "runs.jsonl, line 2" in refused.stderr
    assert not (tmp_path / "page.html").exists()


def test_whatever_stands_in_a_record_ends_in_one_line(answered: Answered, tmp_path: Path) -> None:
    good = json.loads((answered.folder / "out" / "trace" / "runs.jsonl").read_text(encoding="utf-8"))
    values = [None, 10**400, "odd", [], {}, ["odd"], [None], {"odd": None}]
    cases = [(path, value) for k, path in enumerate(_places(good)) for value in (values[k % 8], values[(k + 3) % 8])]
    for path, value in random.Random(0).sample(cases, 150):
        (tmp_path / "runs.jsonl").write_text(json.dumps(_changed(good, *path, value=value)) + "\n")
        shown = invoke("show", tmp_path, "--report", tmp_path / "page.html")
        if shown.exit_code:
            assert one_error_line(shown.stderr) and "line 1" in shown.stderr, (path, value, shown.stderr)
        else:
            assert shown.stderr == "", (path, value)


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e400", "9" * 5000, "[" * 200_000, '{"a":' * 200_000, "\x00", ""]
)
def test_a_line_that_is_no_json_of_finite_numbers_is_named(answered: Answered, value: str, tmp_path: Path) -> None:
    good = (answered.folder / "out" / "trace" / "runs.jsonl").read_text(encoding="utf-8")
    bad = json.dumps(_changed(json.loads(good), "recognition", "evidence", 0, "measured", value="HERE"))
    (tmp_path / "runs.jsonl").write_text(good + bad.replace('"HERE"', value) + "\n" + good)
    for words in ((), ("--json",), ("--report", tmp_path / "page.html")):
        refused = invoke("show", tmp_path, *words)
        assert error_of(refused) == "BadRecord" and "line 2, is not JSON" in refused.stderr and not refused.stdout


def test_a_line_that_breaks_off_is_named_unless_it_is_the_last(answered: Answered, tmp_path: Path) -> None:
    good = (answered.folder / "out" / "trace" / "runs.jsonl").read_bytes()
    for cut in random.Random(1).sample(range(1, len(good) - 1), 12):
        (tmp_path / "runs.jsonl").write_bytes(good[:cut] + b"\n" + good)
        refused = invoke("show", tmp_path)
        assert error_of(refused) == "BadRecord" and "line 1, " in refused.stderr, cut
        (tmp_path / "runs.jsonl").write_bytes(good + good[:cut])
        assert invoke("show", tmp_path, "--json").exit_code == 0, cut


@pytest.mark.parametrize("schema", [None, 0, 2, "1", [1], {}])
def test_a_record_of_another_schema_is_named(answered: Answered, schema: Any, tmp_path: Path) -> None:
    good = json.loads((answered.folder / "out" / "trace" / "runs.jsonl").read_text(encoding="utf-8"))
    (tmp_path / "runs.jsonl").write_text(json.dumps(good | {"schema": schema}) + "\n")
    refused = invoke("show", tmp_path)
    assert error_of(refused) == "BadRecord" and "line 1, does not have schema 1" in refused.stderr


def test_export_names_the_damaged_record(answered: Answered, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="needs the extra [train]")
    good = json.loads((answered.folder / "out" / "trace" / "runs.jsonl").read_text(encoding="utf-8"))
    for path, value in (
        (("messages", 0, "content"), 3),
        (("request",), None),
        (("request", "context"), {}),
        (("request", "actions"), None),
    ):
        (tmp_path / "runs.jsonl").write_text(json.dumps(_changed(good, *path, value=value)) + "\n")
        refused = invoke("export", tmp_path, "--out", tmp_path / "table")
        assert refused.exit_code == 2 and error_of(refused) == "BadRecord" and "line 1" in refused.stderr
