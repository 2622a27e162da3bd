"""Candidate actions: typed lists, and label files as data sets publish them."""

import json
from pathlib import Path

import pytest

from video_star.cli.labels import read_label_file, typed_labels
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
}


@pytest.mark.parametrize("name", FILES)
def test_published_label_files_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("\ufeff" * (name == "header.csv") + FILES[name], encoding="utf-8")
    assert read_label_file(tmp_path / name) == NAMES


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
