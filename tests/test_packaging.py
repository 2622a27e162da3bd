"""The contents of a wheel built from the working tree, the requirements, and the cost of imports."""

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph.state import CompiledStateGraph

import video_star

ROOT = Path(__file__).parents[1]
FOLDERS = ("graph", "tools", "training", "evals")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def tree() -> list[Path]:
    """Every file that git tracks or would track, relative to the root."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, to tell the project's files from others")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [Path(name) for name in listed if (ROOT / name).exists() or (ROOT / name).is_symlink()]


@pytest.fixture(scope="module")
def python_files(tree: list[Path]) -> list[Path]:
    return [path for path in tree if path.suffix == ".py" and not (ROOT / path).is_symlink()]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tree: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tree by the build backend of pyproject.toml."""
    pytest.importorskip("setuptools", minversion="77", reason="needs the build backend, setuptools 77 or later")
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for path in tree:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_symlink():
            (copy / path).symlink_to(os.readlink(ROOT / path))
        else:
            (copy / path).write_bytes((ROOT / path).read_bytes())
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=copy, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def packed(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def shipped(tree: list[Path]) -> set[str]:
    """The paths in the wheel of the code and data of the sub-packages."""
    return {f"video_star/{path}" for path in tree if path.parts[0] in FOLDERS and path.suffix != ".md"}


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_its_data(tree: list[Path], packed: set[str]) -> None:
    assert shipped(tree) <= packed
    assert {"video_star/cli/__init__.py", "video_star/py.typed"} <= packed
    ends = [name.rpartition(".")[2] for name in packed]
    assert all(ends.count(kind) > 0 for kind in ("tflite", "onnx", "mp4", "yaml", "j2"))


@pytest.mark.slow
def test_the_wheel_holds_nothing_else(tree: list[Path], packed: set[str]) -> None:
    about = {name for name in packed if name.startswith("video_star-")}
    own = {str(path) for path in tree if path.parts[0] == "video_star"}
    assert packed - about <= shipped(tree) | own
    assert {name.rpartition("/")[2] for name in about} >= {"LICENSE", "NOTICE", "METADATA", "entry_points.txt"}


@pytest.mark.slow
def test_an_installed_wheel_works_away_from_the_sources(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = """
import importlib.util, sys, video_star
from video_star import recognize
from video_star.tools.video.source import CLIPS
assert video_star.__file__.startswith(sys.argv[1]), video_star.__file__
assert importlib.util.find_spec("graph") is None and importlib.util.find_spec("tools") is None
print(recognize(CLIPS / "people_walking.mp4", ["walk", "hug"], start=0, end=0.5).action)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "site")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "walk\n"


def test_every_package_is_declared(tree: list[Path], settings: dict[str, Any]) -> None:
    folders = {path.parent for path in tree if path.name == "__init__.py" and path.parts[0] in (*FOLDERS, "video_star")}
    names = {
        ".".join(folder.parts if folder.parts[0] == "video_star" else ("video_star", *folder.parts))
        for folder in folders
    }
    assert set(settings["tool"]["setuptools"]["packages"]) == names


def test_versions_agree(settings: dict[str, Any]) -> None:
    assert settings["project"]["version"] == video_star.__version__


def test_langgraph_json_names_a_graph_and_an_app_that_exist(settings: dict[str, Any]) -> None:
    config = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    for entry in config["graphs"].values():
        module, _, name = entry["path"].partition(":")
        # The server looks into the module's dictionary: a name made on demand would not be found.
        assert isinstance(vars(import_module(module))[name], CompiledStateGraph)
    pytest.importorskip("starlette", reason="needs the extra [studio]")
    module, _, name = config["http"]["app"].partition(":")
    assert callable(vars(import_module(module))[name])


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """The absolute names that a module imports; `top_level` omits those inside functions and under TYPE_CHECKING."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    package = ("video_star", *path.parent.parts) if path.parts[0] in FOLDERS else path.parent.parts
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            module = (base + (node.module or "")).rstrip(".")
            # Of a package, what is imported may be a module of its own.
            yield from (f"{module}.{name.name}" for name in node.names)


def test_what_the_core_imports_is_declared(python_files: list[Path], settings: dict[str, Any]) -> None:
    declared = {re.split(r"[^a-z0-9-]", line)[0] for line in settings["project"]["dependencies"]}
    # pydantic is built on both, takes the TypedDict of the one only, and documents errors of the other.
    declared |= {"typing-extensions", "pydantic-core"}
    homes = packages_distributions()
    for path in python_files:
        # The http app is for a LangGraph server, which brings starlette.
        if path.parts[0] not in ("graph", "tools", "video_star") or path == Path("graph/media_app.py"):
            continue
        for name in imports(path, top_level=True):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in ("video_star", "__future__"):
                continue
            assert {home.lower().replace("_", "-") for home in homes[top]} & declared, f"{path} imports {name}"


def run(code: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **more}
    )


@pytest.mark.slow
def test_importing_the_core_loads_no_heavy_library(python_files: list[Path]) -> None:
    modules = [
        ".".join(("video_star", *path.with_suffix("").parts)).removesuffix(".__init__")
        for path in python_files
        if path.parts[0] in ("graph", "tools") and path != Path("graph/media_app.py")
    ]
    for first in (["video_star.graph"], ["video_star.cli"], sorted(modules)):
        code = f"import sys\nfrom importlib import import_module\nfor name in {first}: import_module(name)\n"
        heavy = "{'torch', 'cv2', 'ultralytics', 'moviepy', 'transformers'} & set(sys.modules)"
        assert run(f"{code}print(sorted({heavy}))").stdout == "[]\n"


def test_importing_the_package_alone_loads_nothing() -> None:
    code = "import sys, video_star; print({'langgraph', 'numpy', 'pydantic', 'typer'} & set(sys.modules) or 'nothing')"
    assert run(code).stdout == "nothing\n"


def cpu_seconds(*command: str | Path) -> float:
    """User and system time of a command."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def least(*commands: Sequence[str | Path]) -> list[float]:
    """The least processor time of each command in three rounds, in which the commands take turns."""
    rounds = [[cpu_seconds(*command) for command in commands] for _ in range(3)]
    return [min(column) for column in zip(*rounds, strict=True)]


IMPORT_LANGGRAPH = (sys.executable, "-c", "import langgraph.graph")


@pytest.mark.slow
def test_importing_the_core_takes_little_more_than_langgraph() -> None:
    framework, core = least(IMPORT_LANGGRAPH, (sys.executable, "-c", "import video_star.graph"))
    assert core < 1.5 * framework


@pytest.mark.slow
def test_help_takes_far_less_than_importing_langgraph() -> None:
    framework, shown = least(IMPORT_LANGGRAPH, (Path(sysconfig.get_path("scripts")) / "video-star", "--help"))
    assert shown < 0.4 * framework


REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[a-z,]+\])?==\S+( ; .+?)? \\$")


@pytest.mark.parametrize("name", ["core.txt", "all.txt"])
def test_requirements_are_pinned_by_hash(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.lstrip().startswith("#")]
    pinned = [k for k, line in enumerate(entries) if not line.startswith(" ")]
    assert len(pinned) > 40
    for k in pinned:
        assert REQUIREMENT.match(entries[k]), entries[k]
        assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", entries[k + 1])


def test_the_core_needs_no_torch_and_no_opencv() -> None:
    text = (ROOT / "requirements" / "core.txt").read_text(encoding="utf-8")
    names = {found["name"].lower() for line in text.splitlines() if (found := REQUIREMENT.match(line))}
    assert {"langgraph", "onnxruntime", "ai-edge-litert", "moviepy"} <= names
    assert not [
        name for name in names if re.match("torch|nvidia|opencv|ultralytics|transformers|langchain-openai", name)
    ]


def test_no_file_names_a_package_index(tree: list[Path]) -> None:
    index = re.compile(
        r"--(extra-)?index-url|--find[-]links|https?://\S*(pypi|pythonhosted|/simple\b|artifactory|nexus)"
    )
    found = []
    for path in tree:
        if (ROOT / path).is_file():
            text = (ROOT / path).read_bytes().decode(errors="ignore")
            found += [f"{path}: {match[0]}" for match in index.finditer(text)]
    assert not found
