"""`video-star doctor`."""

import sys
from pathlib import Path

import pytest

from video_star.cli.doctor import EXTRAS

from ..console import typed

pytestmark = pytest.mark.slow


def test_doctor_says_what_works_and_how_to_install_the_rest(warm: Path, tmp_path: Path) -> None:
    without_trl = "import sys; sys.modules['trl'] = None\nfrom video_star.cli import main\nmain()"
    ended = typed("doctor", program=(sys.executable, "-c", without_trl), folder=tmp_path, environment={"COLUMNS": "40"})
    assert ended.code == 0 and "Traceback" not in ended.stderr
    lines = ended.stdout.splitlines()
    for name in ("langgraph", "onnxruntime", "video reading", "embedded perception", "video writing", "policy"):
        assert any(line.strip().startswith(f"✓ {name}") for line in lines), name
    assert all(any(name in line for line in lines) for name in EXTRAS)
    assert [line for line in lines if " trl: " in line][0].endswith("pip install 'video-star[train]'")
    assert lines[-1] == f"store: {warm}"
