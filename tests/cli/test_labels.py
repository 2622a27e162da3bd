"""Candidate actions: typed lists, and label files as data sets publish them."""

import json
import re
from pathlib import Path

import pytest

from video_star.cli.labels import read_label_file, typed_labels
from video_star.graph.candidates import checked_actions
from video_star.tools.errors import BadActions

from ..console import SPAN, invoke

NAMES = ["brush hair", "walk", "bend, then rise"]
FILES = {
    "plain.txt": "brush hair\nwalk\nbend, then rise\n",
    "header.csv": 'id,name\n0,brush hair\n1,walk\n2,"bend, then rise"\n',
    "without_header.csv": '0,brush hair\n1,walk\n2,"bend, then rise"\n',
    "unquoted.csv": "0,brush hair\n1,walk\n2,bend, then rise\n",
    "more_columns.csv": 'index,label,parent\n0,brush hair,hair\n1,walk,\n2,"bend, then rise",body\n',
    "names_only.csv": 'name\nbrush hair\nwalk\n"bend, then rise"\n',
    "names_first.csv": '"brush hair",0\nwalk,1\n"bend, then rise",2\n',
    "tabs.tsv": "0\tbrush hair\n1\twalk\n2\tbend, then rise\n",
    "classInd.txt": "1 brush hair\r\n2 walk\r\n\r\n3 bend, then rise\r\n",
    "dots.txt": "1. brush hair\n2. walk\n10. bend, then rise\n",
    "ids_to_names.json": json.dumps({"0": "brush hair", "1": "walk", "2": "bend, then rise"}),
    "names_to_ids.json": json.dumps({"brush hair": "0", "walk": 1, "bend, then rise": "2"}),
    "names.json": json.dumps(NAMES),
    "objects.json": json.dumps([{"id": k, "name": name} for k, name in enumerate(NAMES)]),
    "json_by_another_name.txt": json.dumps(NAMES),
    "comments.txt": "# three actions\nbrush hair\n#\nwalk\n  #\tcommas\nbend, then rise\n",
    "commented_header.txt": '#id,name\n0,brush hair\n1,walk\n2,"bend, then rise"\n',
    "quoted_lines.txt": 'brush hair\n"walk"\n"bend, then rise"\n',
    "quoted_column.csv": '"brush hair"\n"walk"\n"bend, then rise"\n',
    "unquoted_with_header.csv": "id,name\n0,brush hair\n1,walk\n2,bend, then rise\n",
    "per_clip.csv": 'label,clip\nbrush hair,a.mp4\nwalk,b.mp4\nwalk,c.mp4\n"bend, then rise",d.mp4\n',
    "twice.txt": "brush hair\nwalk\nbrush hair\nbend, then rise\nwalk\n",
    "old_mac.txt": "brush hair\rwalk\rbend, then rise\r",
    "semicolons.csv": "0;brush hair\n1;walk\n2;bend, then rise\n",
    "pairs.json": json.dumps([[k, name] for k, name in enumerate(NAMES)]),
    "config.json": json.dumps({"model_type": "any", "id2label": dict(enumerate(NAMES))}),
    "coco.json": json.dumps({"images": [], "categories": [{"id": k, "name": name} for k, name in enumerate(NAMES)]}),
    "lines.jsonl": "".join(json.dumps({"id": k, "label": name}) + "\n" for k, name in enumerate([*NAMES, "walk"])),
}


@pytest.mark.parametrize("name", FILES)
def test_published_label_files_are_read(name: str, tmp_path: Path) -> None:
    for mark in ("", "\ufeff"):
        for end in ("\n", "\r\n"):
            (tmp_path / name).write_bytes((mark + FILES[name].replace("\n", end)).encode())
            assert read_label_file(tmp_path / name) == NAMES


def test_the_label_files_of_published_splits_are_read_completely(shared: Path) -> None:
    files = [p for p in (shared / "splits").rglob("*") if p.is_file() and re.search("label|idx2cls|index2cls", p.name)]
    assert len(files) >= 20
    for path in files:
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line.strip() and line != "id,name"]
        count = len(json.loads(text)) if path.suffix == ".json" else len(lines)
        found = checked_actions(read_label_file(path))
        assert len(found) == count and not any(re.match(r"\d|.*,\d|id$|name$|[\"']", one) for one in found), path
    ssv2 = read_label_file(shared / "splits" / "ViFi-CLIP" / "labels" / "ssv2_labels.csv")
    assert "Removing something, revealing something behind" in ssv2 and len(ssv2) == 174


def test_a_file_that_is_too_long_is_refused_and_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"action {k}\n" for k in range(100_000)))
    with pytest.raises(BadActions, match="longer than 1,048,576 characters"):
        read_label_file(path)
    path.write_bytes("walk\n".encode("utf-16"))
    with pytest.raises(BadActions, match="UTF-8"):
        read_label_file(path)


@pytest.mark.parametrize(
    "lines",
    [
        ["2 people hug"],
        ["3 point shot", "1 handed catch"],
        ["2 people hug", "2 people talk"],
        ["1 person walks", "nobody moves"],
        ["name", "label"],
        ["[bold]walk[/]", "run"],
        ["sit, then stand", "stand, then sit"],
        ["walk, 2", "run, 2"],
        ["#selfie", "#dance"],
        ['say "no" twice', 'clap "hands"'],
    ],
)
def test_labels_that_only_look_like_rows_are_kept(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    assert read_label_file(tmp_path / "labels.txt") == lines


@pytest.mark.parametrize("text", ["", "{", "7", "[1, 2]", '{"walk": "run"}', "[" * 100_000, "[]", "{}"])
def test_json_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(BadActions, match="JSON list of names"):
        read_label_file(tmp_path / "labels.json")


def test_typed_labels_are_comma_separated_or_a_json_list() -> None:
    assert typed_labels(" hug, walk,, ") == ["hug", "walk"]
    assert typed_labels(json.dumps(NAMES)) == NAMES
    assert typed_labels("[bold]walk[/], run") == ["[bold]walk[/]", "run"]
    assert typed_labels("[1, 2]") == ["[1", "2]"]
    for text in ("['hug', 'walk']", '["hug", "walk"', ' [ "hug", 1]'):
        with pytest.raises(BadActions, match="JSON list"):
            typed_labels(text)


@pytest.mark.slow
def test_commas_that_cut_a_known_label_are_warned_of(warm: Path, walking_clip: Path) -> None:
    label = "Removing something, revealing something behind"
    asked = ("recognize", walking_clip, *SPAN, "--mode", "no_tools", "--json", "--actions")
    for given in (label, f"walk, {label}", f"{label}, walk"):
        ended = invoke(*asked, given)
        assert ended.exit_code == 0 and ended.stderr.startswith("Warning: ") and label in ended.stderr
        assert len(json.loads(ended.stdout)["ranking"]) >= 2
    for given in (json.dumps([label, "walk"]), "hug, walk", "[bold]walk[/], run"):
        ended = invoke(*asked, given)
        assert ended.exit_code == 0 and ended.stderr == "", given
