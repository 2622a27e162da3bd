"""The pages in docs/ name only what exists: tests, error classes and messages."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from video_star.tools import errors

ROOT = Path(__file__).parents[1]
FOLDERS = ("tools", "graph", "evals", "training", "video_star/cli")
OWASP = [f"ASI{number:02}" for number in range(1, 11)]
NEVER_SHOWN = {"VideoStarError", "ToolCancelled"}
"""The base class, and an error that only the thread of a cancelled call sees."""


def rows(page: str) -> list[list[str]]:
    """The cells of all tables of a page in docs/, without heads."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0] not in ("class", "item", "trusted", "not trusted")]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@lru_cache(maxsize=1)
def texts() -> tuple[str, ...]:
    """Every text in the code, with `…` for what is put in."""

    def rendered(node: ast.AST) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values)
        return str(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""

    def walked() -> Iterator[str]:
        for folder in FOLDERS:
            for path in (ROOT / folder).rglob("*.py"):
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    if text := rendered(node):
                        # A setting that is shown with its name, and a template that is filled later.
                        yield " ".join(re.sub(r"\{\w+\}", "…", text).split())

    return tuple(walked())


def test_every_item_of_the_security_table_names_tests_that_exist() -> None:
    defined = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        defined |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    items = [row for row in rows("security.md") if row[0].startswith("ASI")]
    assert [row[0].split()[0] for row in items] == OWASP
    for item, _, tests in items:
        assert quoted(tests) and set(quoted(tests)) <= defined, (item, set(quoted(tests)) - defined)


def test_the_security_page_names_only_settings_and_errors_that_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    settings = set(re.findall(r"VIDEO_STAR_[A-Z_]+", text))
    source = (ROOT / "tools" / "settings.py").read_text(encoding="utf-8")
    for name in settings:
        assert re.search(rf"^    {name.removeprefix('VIDEO_STAR_').lower()}:", source, re.MULTILINE), name
    for name in re.findall(r"`(Bad\w+|Model\w+|Video\w+)`", text):
        assert hasattr(errors, name)


def test_every_error_class_has_a_remedy_in_the_troubleshooting_page() -> None:
    classes = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    shown = {quoted(row[0])[0] for row in rows("troubleshooting.md")}
    assert shown == classes - NEVER_SHOWN
    assert all(len(row) == 4 and row[2] and row[3] for row in rows("troubleshooting.md"))


@pytest.mark.parametrize("row", rows("troubleshooting.md"), ids=lambda row: row[0])
def test_the_messages_of_the_troubleshooting_page_are_those_of_the_code(row: list[str]) -> None:
    (message,) = quoted(row[1])
    assert any(message in text for text in texts()), message


@pytest.mark.parametrize("page", ["security.md", "troubleshooting.md"])
def test_the_readme_links_the_page(page: str) -> None:
    assert f"](docs/{page})" in (ROOT / "README.md").read_text(encoding="utf-8")
