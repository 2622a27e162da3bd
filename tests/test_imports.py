"""Imports run one way, tools <- graph <- evals <- training <- cli, and no two modules import each other.

`make check` runs the same layers through `lint-imports`. Imports inside functions count; those under TYPE_CHECKING
count for the direction, not for circles.
"""

import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

grimp = pytest.importorskip("grimp", reason="needs the dependency group dev")

ROOT = Path(__file__).parents[1]


def graph(*, type_checking: bool) -> Any:
    """Every module of the package and what it imports."""
    return grimp.build_graph("video_star", exclude_type_checking_imports=not type_checking, cache_dir=None)


@pytest.fixture(scope="module")
def layers() -> list[str]:
    """The layers of the contract, highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    assert contract["type"] == "layers" and contract["containers"] == ["video_star"]
    return list(contract["layers"])


def violations(imports: Any, layers: list[str]) -> set[Any]:
    found: set[Any] = imports.find_illegal_dependencies_for_layers(layers=layers, containers={"video_star"})
    return found


def test_imports_run_one_way(layers: list[str]) -> None:
    imports = graph(type_checking=True)
    assert {f"video_star.{layer}" for layer in layers} == imports.find_children("video_star")
    assert not violations(imports, layers)


def test_an_import_against_the_direction_is_found(layers: list[str]) -> None:
    imports = graph(type_checking=True)
    for high, low in ((a, b) for k, a in enumerate(layers) for b in layers[k + 1 :]):
        importer, imported = (f"video_star.{layer}" for layer in (low, high))
        imports.add_import(importer=importer, imported=imported)
        assert violations(imports, layers), f"{importer} may import {imported}"
        imports.remove_import(importer=importer, imported=imported)


def circle(imports: Any) -> list[str]:
    """Modules that import each other in turn, the first repeated at the end; empty when there are none."""
    order = {module: imports.find_modules_directly_imported_by(module) for module in imports.modules}
    try:
        TopologicalSorter(order).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other() -> None:
    assert circle(graph(type_checking=False)) == []


def test_a_circle_through_several_modules_is_found() -> None:
    imports = graph(type_checking=False)
    imports.add_import(importer="video_star.tools.errors", imported="video_star.graph.builder")
    assert {"video_star.tools.errors", "video_star.graph.builder"} <= set(circle(imports))
