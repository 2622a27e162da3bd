"""Traces made from Marionette are separate from its test data, and one frame does not solve it."""

import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from video_star.evals.marionette import ACTIONS
from video_star.evals.marionette.dataset import items
from video_star.evals.suites.marionette_one_frame import measure
from video_star.evals.suites.marionette_separation import leaks
from video_star.graph.records.trace import read
from video_star.tools.execution.media_store import MediaStore
from video_star.training.rows import rows
from video_star.training.synthesis.folder import REJECTED

pytestmark = pytest.mark.slow

CLIPS = 50
"""One round of the actions, and two clips of the second round, which is for testing."""
NOVEL = [label for label, action in ACTIONS.items() if action.split == "novel"]


def run(*arguments: str | Path) -> str:
    program = Path(sys.executable).parent / "video-star"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marionette") / "data"
    run("marionette", "make", folder, "--clips", str(CLIPS), "--seed", "9")
    return folder


@pytest.fixture(scope="module")
def traces(data: Path) -> Path:
    """The result of a complete synthesis from the command line."""
    lists, out = data / "splits" / "lists", data.parent / "traces"
    command: list[str | Path] = [
        "synthesize",
        lists / "base_train.txt",
        "--labels",
        lists / "marionette_base_labels.csv",
        "--root",
        data,
    ]
    output = run(*command, "--out", out, "--teacher", "scripted", "--target", "8", "--price", "1/2")
    assert "traces verified" in output and "README.md" in output
    return out


def test_no_novel_class_and_no_test_clip_is_in_any_trace(data: Path, traces: Path) -> None:
    assert list(leaks(data, traces)) == []
    by_id = {item.id: item for item in items(CLIPS, 9)}
    accepted = list(read(traces))
    rejected = list(read(traces / REJECTED)) if (traces / REJECTED).is_dir() else []
    assert len(accepted) == 8
    for record in (*accepted, *rejected):
        clip = Path(record["synthesis"]["clip"]).stem
        assert by_id[clip].split == "base_train" and by_id[clip].label == record["synthesis"]["label"]
        assert len(record["request"]["actions"]) == 32 and not set(record["request"]["actions"]) & set(NOVEL)


def test_no_training_row_names_a_clip_or_a_novel_class(data: Path, traces: Path) -> None:
    names = [item.id for item in items(CLIPS, 9)]
    for record in read(traces):
        for row in rows(record, MediaStore(traces / "media")):
            text = json.dumps({name: value for name, value in row.items() if name != "images"}, ensure_ascii=False)
            assert not [name for name in names if name in text or name.encode() in b"".join(row["images"])]
            assert not [label for label in NOVEL if label in text.casefold()]


def append_text(record: dict[str, Any], text: str) -> None:
    record["messages"][-1]["content"] += text


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (lambda r, test_clip: r["synthesis"].update(clip=f"clips/{test_clip}.mp4"), "is of novel_test"),
        (lambda r, test_clip: r["synthesis"].update(clip="clips/elsewhere.mp4"), "of no split"),
        (lambda r, test_clip: r["request"]["actions"].append(NOVEL[0]), "among its candidates"),
        (lambda r, test_clip: append_text(r, f" It may be {NOVEL[3].upper()}."), "a novel class"),
        (lambda r, test_clip: append_text(r, f" Compare clips/{test_clip}.mp4."), "names a clip"),
        (lambda r, test_clip: append_text(r, Path(r["synthesis"]["clip"]).stem), "names a clip"),
    ],
)
def test_every_leak_is_found(
    data: Path, traces: Path, tmp_path: Path, edit: Callable[[dict[str, Any], str], None], finding: str
) -> None:
    copytree(traces / "media", tmp_path / "media")
    (test_clip,) = [item.id for item in items(CLIPS, 9) if item.split == "novel_test"][:1]
    bad = deepcopy(next(read(traces)))
    edit(bad, test_clip)
    (tmp_path / "runs.jsonl").write_text(json.dumps(bad) + "\n")
    assert [line for line in leaks(data, tmp_path) if finding in line]


def test_one_frame_does_not_reveal_the_action() -> None:
    right = {name: found.mean() for name, found in measure(rounds=4, seed=11, hard=False).items()}
    whole = right.pop("keypoints of 12 frames in order")
    assert right.pop("oracle, from true primitives") == 1.0
    assert right["pixels of one frame"] < 0.15
    assert right["keypoints of one frame"] < 0.6 * whole
