"""The file for the Rerun viewer: what it holds, and what is refused before the run."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from video_star.graph.concurrency import wait_for
from video_star.graph.report import rerun_file
from video_star.graph.run import run_record
from video_star.tools.errors import MissingExtra, OutputNotAllowed


@pytest.fixture(scope="module")
def record(walking_clip: Path) -> dict[str, object]:
    return wait_for(run_record(str(walking_clip), ["walk", "run", "hug"], end=1.0))


@pytest.mark.skipif(find_spec("rerun") is None, reason="needs the extra [rerun]")
def test_the_file_holds_video_people_primitives_nodes_and_answer(record: dict[str, object], tmp_path: Path) -> None:
    out = tmp_path / "run.rrd"
    rerun_file.write_rerun(record, out)
    command = [sys.executable, "-m", "rerun", "rrd", "print", str(out)]
    # Rerun writes its settings into the home folder.
    printed = subprocess.run(command, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, check=True).stdout
    for path in (
        b"/video",
        b"/video/people",
        b"/video/skeletons",
        b"/primitives/",
        b"/nodes",
        b"/evidence/",
        b"/answer",
    ):
        assert path in printed, path
    with pytest.raises(OutputNotAllowed, match="would overwrite"):
        rerun_file.write_rerun(record, Path(str(record["request"]["source"])))  # type: ignore[index]


def test_without_the_extra_the_line_that_installs_it_is_given(
    record: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingExtra, match=r"pip install 'video-star\[rerun\]'"):
        rerun_file.write_rerun(record, tmp_path / "run.rrd")
    assert not list(tmp_path.iterdir())
