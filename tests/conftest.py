"""Fixtures of all tests: the bundled clip, the shared folder if there is one, a home folder for each test."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from video_star.tools.execution.executor import EXECUTOR
from video_star.tools.video.source import DEMO_CLIP

from . import tiny_qwen as tiny
from .tools.video.hostile import HostileFiles

SHARED = Path(__file__).parents[2] / "shared"
SLOW_FILE = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m "not slow"`, do not import files whose tests are all slow: most of them load torch."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return bool(SLOW_FILE.search(collection_path.read_text(encoding="utf-8"))) or None


@pytest.fixture
def shared() -> Path:
    """The folder with real clips, splits and scripts beside some checkouts; without it, the test is skipped."""
    if not (SHARED / "clips").is_dir():
        pytest.skip("needs ../shared (real clips and splits), which this machine does not have")
    return SHARED


@pytest.fixture(scope="session")
def walking_clip() -> Path:
    """The bundled real clip: five people walking, 768x576, 10 frames/s, 7 s."""
    return DEMO_CLIP


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder for each test: no test reads what another has cached."""
    monkeypatch.setenv("VIDEO_STAR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def rested() -> None:
    """Close all circuit breakers: no tool is unavailable because it failed in another test."""
    EXECUTOR._breakers.clear()


@pytest.fixture(autouse=True)
def own_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the replacement of `Image.open` by ultralytics after each test."""
    monkeypatch.setattr(Image, "open", Image.open)


@pytest.fixture(scope="module")
def warm_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder shared by the tests of one file."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def warm(warm_home: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """Use the shared home folder of the file, so that the same second of video is analysed only once."""
    monkeypatch.setenv("VIDEO_STAR_HOME", str(warm_home))
    return warm_home


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> HostileFiles:
    """Unusual and broken video files by kind: `hostile.truncated`, `hostile.vfr`, ..."""
    return HostileFiles(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder: a tiny Qwen2.5-VL with random weights, Qwen's own vocabulary and our chat template."""
    missing = [name for name in ("torch", "torchvision", "transformers", "dashscope") if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; install the extras local and api")
    return tiny.save(tmp_path_factory.mktemp("tiny_qwen"))
