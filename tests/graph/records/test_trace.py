"""Traces: records of real runs are written and read back."""

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from video_star.graph.concurrency import wait_for
from video_star.graph.records.trace import FILE, append, read, recognition, references
from video_star.graph.report.page import render_page
from video_star.graph.run import run_record
from video_star.tools.errors import BadRecord
from video_star.tools.execution.media_store import MediaStore

Record = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MediaStore:
    return MediaStore(tmp_path_factory.mktemp("home") / "media")


@pytest.fixture(scope="module")
def record(walking_clip: Path, store: MediaStore) -> Iterator[Record]:
    """The record of a run on one second of the bundled clip, with its images in `store`."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("VIDEO_STAR_HOME", str(store.root.parent))
        yield wait_for(run_record(walking_clip, ["walk", "run", "行走 [/x] <b>"], start=0, end=1))


@pytest.fixture
def trace(tmp_path: Path, record: Record, store: MediaStore) -> Path:
    """A folder with this record."""
    append(record, tmp_path / "trace", store)
    return tmp_path / "trace"


def test_a_record_reads_back_as_it_was_written(trace: Path, record: Record) -> None:
    assert list(read(trace)) == [record]
    assert list(read(trace / FILE)) == [record]
    assert (trace / FILE).read_bytes().endswith(b"}\n")


def test_records_are_read_in_the_order_of_writing(trace: Path, record: Record, store: MediaStore) -> None:
    append({**record, "id": "second"}, trace, store)
    assert [each["id"] for each in read(trace)] == [record["id"], "second"]


def test_a_trace_contains_its_images(trace: Path, record: Record) -> None:
    urls = references(record)
    shown = {frame["url"] for item in record["recognition"]["evidence"] for frame in item["frames"]}
    assert len(urls) == len(set(urls)) > 4 and shown < set(urls)
    assert all(MediaStore(trace / "media").get(url).startswith(b"\xff\xd8") for url in urls)
    page = render_page(next(read(trace)), MediaStore(trace / "media").get)
    assert page.count("data:image/jpeg") >= len(urls)


def test_a_record_is_written_even_if_its_images_are_gone(tmp_path: Path, record: Record) -> None:
    append(record, tmp_path, MediaStore(tmp_path / "cleared"))
    assert list(read(tmp_path)) == [record]


def test_a_label_that_looks_like_a_media_url_copies_no_other_file(
    tmp_path: Path, record: Record, store: MediaStore
) -> None:
    (store.root.parent / "private.txt").write_text("secret")
    found = {**record["recognition"], "action": "media://../private.txt"}
    append({**record, "recognition": found}, tmp_path / "trace", store)
    assert not [path for path in tmp_path.rglob("private.txt")]
    assert next(read(tmp_path / "trace"))["recognition"]["action"] == "media://../private.txt"


def test_a_file_name_that_is_not_utf_8_reads_back(tmp_path: Path, record: Record, store: MediaStore) -> None:
    named = {**record, "request": {**record["request"], "source": "clip\udcff.mp4"}}
    append(named, tmp_path, store)
    assert next(read(tmp_path))["request"]["source"] == "clip\udcff.mp4"
    (tmp_path / FILE).read_text(encoding="utf-8")


def test_an_incomplete_last_line_is_ignored(trace: Path, record: Record) -> None:
    with (trace / FILE).open("ab") as file:
        file.write(b'{"schema": 1, "id": "half')
    assert list(read(trace)) == [record]


def test_a_record_appended_after_an_incomplete_line_is_read(trace: Path, record: Record, store: MediaStore) -> None:
    with (trace / FILE).open("ab") as file:
        file.write(b'{"schema": 1, "id": "half')
    append({**record, "id": "after"}, trace, store)
    assert [each["id"] for each in read(trace)] == [record["id"], "after"]


def test_a_file_with_only_an_incomplete_line_is_started_anew(tmp_path: Path, record: Record, store: MediaStore) -> None:
    (tmp_path / FILE).write_bytes(b'{"schema": 1, "id": "half')
    append(record, tmp_path, store)
    assert list(read(tmp_path)) == [record]


def test_a_complete_last_line_without_a_line_end_is_kept(trace: Path, record: Record, store: MediaStore) -> None:
    (trace / FILE).write_bytes((trace / FILE).read_bytes().rstrip(b"\n"))
    append({**record, "id": "after"}, trace, store)
    assert [each["id"] for each in read(trace)] == [record["id"], "after"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"schema": 1, "id": "half', "line 2, is not JSON"),
        ("\udcff\udcfe", "line 2, is not JSON"),
        ('{"schema": 99, "id": "x"}', "line 2, does not have schema 1"),
        ('["schema", 1]', "line 2, does not have schema 1"),
        ('{"schema": 1, "id": "x", "request": {}}', "line 2, lacks messages, recognition"),
    ],
)
def test_an_invalid_line_raises_with_its_number(trace: Path, line: str, expected: str) -> None:
    whole = (trace / FILE).read_bytes()
    (trace / FILE).write_bytes(whole + line.encode(errors="surrogateescape") + b"\n" + whole)
    with pytest.raises(BadRecord, match=expected):
        list(read(trace))


def test_a_folder_without_a_trace_raises(tmp_path: Path) -> None:
    for nothing in (tmp_path, tmp_path / "missing", tmp_path / "missing" / FILE):
        with pytest.raises(BadRecord, match="give a folder written by --trace"):
            list(read(nothing))


def test_messages_are_plain_chat_with_node_and_author(record: Record) -> None:
    expected = record["messages"]
    assert json.loads(json.dumps(expected)) == expected
    assert [message["role"] for message in expected[:3]] == ["system", "user", "assistant"]
    assert {message["role"] for message in expected} == {"system", "user", "assistant", "tool"}
    for message in expected:
        assert message["node"] in ("tool_select", "tool_exec", "fuse", "decompose", "score")
        assert message["author"] == ("policy" if message["role"] == "assistant" else "graph")
        if not isinstance(message["content"], str):
            assert {block["type"] for block in message["content"]} <= {"text", "image"}
            assert all(set(block) <= {"type", "text", "url"} for block in message["content"])
    asked = [call["id"] for message in expected for call in message.get("tool_calls", ())]
    assert asked == [message["tool_call_id"] for message in expected if message["role"] == "tool"]
    assert {tool["function"]["name"] for tool in record["tools"]} >= {"track_motion", "decompose"}


def test_a_record_has_request_versions_and_time(record: Record, walking_clip: Path) -> None:
    assert record["schema"] == 1 and record["request"]["source"] == str(walking_clip)
    assert record["request"]["context"]["policy"] == "kinematic" and record["versions"]["langgraph"]
    assert [timing["node"] for timing in record["timings"]] == [
        "tool_select",
        "tool_exec",
        "fuse",
        "decompose",
        "score",
    ]


def test_the_result_reads_back_from_the_trace(trace: Path, record: Record) -> None:
    found = recognition(next(read(trace)))
    assert found.model_dump() == recognition(record).model_dump()
    assert found.action == "walk" and len(found.ranking) == 3


def test_an_invalid_result_is_a_bad_record(record: Record) -> None:
    with pytest.raises(BadRecord, match="recognition.status"):
        recognition({**record, "recognition": {"action": "walk", "status": "splendid"}})


def test_concurrent_processes_append_complete_lines(tmp_path: Path, record: Record, store: MediaStore) -> None:
    # Larger than any buffer on the way, so that lines written in pieces would mix.
    runs = [{**record, "id": f"{i}", "notes": f"{i} " * 20_000} for i in range(160)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["video_star.graph.records.trace"])
    with context.Pool(8) as pool:
        pool.starmap(append, [(run, tmp_path, store) for run in runs], chunksize=20)
    back = sorted(read(tmp_path), key=lambda each: int(each["id"]))
    assert back == runs
