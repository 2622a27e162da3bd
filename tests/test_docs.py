"""The files and folders that the documentation names exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("graph", "tools", "evals", "training", "video_star", "examples", "tests", "docs")


def test_paths_in_contributing_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./-]+/[\w.-]*)`", text) if name.split("/")[0] in FOLDERS}
    assert len(named) > 15
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_layout_in_contributing_names_existing_files() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    layout = text.split("```")[1]
    missing, folder = [], ""
    for line in layout.splitlines():
        names = re.findall(r"^\s*((?:[\w.]+(?:\.py|/)\s+)+)", line)
        if line[:1].strip():
            folder = line.split("/")[0]
        for name in (name for group in names for name in group.split()):
            path = ROOT / name if line.startswith(name) else ROOT / folder / name
            missing += [str(path.relative_to(ROOT))] if not path.exists() else []
    assert missing == []


def test_links_between_pages_exist() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link.split("#")[0]).exists()] == [], page.name
