from pathlib import Path
from typing import Any

import pytest

from video_star.evals.runner import Answer, run_split
from video_star.evals.splits import Example
from video_star.tools.errors import BadInput

from ..clips import cut_clip

FAST: dict[str, Any] = {"tools": ["track_motion", "explain_actions"], "frames": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, walking_clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        cut_clip(walking_clip, folder / f"{number}.mp4", number, number + 0.6)
    return folder


async def test_each_clip_is_run_once_even_after_an_interruption(warm: Path, root: Path, tmp_path: Path) -> None:
    split = [Example("0.mp4", "Walk"), Example("1.mp4", "hug"), Example("2.mp4", "Walk")]
    first = await run_split(split[:2], root, tmp_path / "trace", **FAST)
    assert [answer.correct for answer in first] == [True, False]
    counts: list[int] = []
    second = await run_split(split, root, tmp_path / "trace", on_answer=counts.append, **FAST)
    assert [answer.correct for answer in second] == [True, False, True] and counts == [3]
    with pytest.raises(BadInput, match="other settings"):
        await run_split(split, root, tmp_path / "trace", mode="no_tools")
    with pytest.raises(BadInput, match="no clip gone.mp4"):
        await run_split([*split, Example("gone.mp4", "hug")], root, tmp_path / "trace", **FAST)


def test_a_failed_run_counts_as_wrong_and_spelling_does_not_matter() -> None:
    assert not Answer(Example("a", "run"), None).correct
    assert Answer(Example("a", "ride_bike"), "ride bike").correct
