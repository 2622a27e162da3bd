"""One run of the installed command with every file it can write, shared by the tests of this folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..console import Ended, typed


@dataclass(frozen=True)
class Answered:
    """A run that has ended, and the folder it wrote to."""

    ended: Ended
    folder: Path

    @property
    def found(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ended.stdout)
        return found


@pytest.fixture(scope="session")
def answered(walking_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder, home = tmp_path_factory.mktemp("answered"), tmp_path_factory.mktemp("home")
    asked = ("recognize", walking_clip, "--actions", "walk, run, shake hands", "--start", "0", "--end", "2", "--json")
    written = ("--trace", "out/trace", "--annotate", "out/drawn.mp4", "--report", "out/page/run.html")
    return Answered(typed(*asked, *written, folder=folder, environment={"VIDEO_STAR_HOME": str(home)}), folder)
