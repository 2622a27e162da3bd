from pathlib import Path
from typing import Any

import pytest

from video_star.evals.runner import Answer, answers, harmonic, rate
from video_star.evals.splits import Example
from video_star.tools.errors import BadInput
from video_star.tools.video.writer import cut_clip

FAST: dict[str, Any] = {"tools": ["track_motion", "explain_actions"], "frames": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, walking_clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        cut_clip(walking_clip, folder / f"{number}.mp4", number, number + 0.6)
    return folder


async def test_a_split_is_asked_once_and_gone_on_with(warm: Path, root: Path, tmp_path: Path) -> None:
    split = [Example("0.mp4", "Walk"), Example("1.mp4", "hug"), Example("2.mp4", "Walk")]
    first = await answers(split[:2], root, tmp_path / "trace", **FAST)
    assert [answer.right for answer in first] == [True, False]
    told: list[int] = []
    second = await answers(split, root, tmp_path / "trace", on_answer=told.append, **FAST)
    assert [answer.right for answer in second] == [True, False, True] and told == [3]
    with pytest.raises(BadInput, match="other settings"):
        await answers(split, root, tmp_path / "trace", mode="no_tools")
    with pytest.raises(BadInput, match="no clip gone.mp4"):
        await answers([*split, Example("gone.mp4", "hug")], root, tmp_path / "trace", **FAST)


def test_a_failed_run_is_a_wrong_answer() -> None:
    assert not Answer(Example("a", "run"), None).right and Answer(Example("a", "ride_bike"), "ride bike").right


def test_shares_and_their_intervals() -> None:
    half = rate([True, False] * 50)
    assert half.value == 0.5 and 0.38 < half.low < 0.42 and 0.58 < half.high < 0.62
    assert str(rate([True] * 4)) == "100.0 % [100.0, 100.0]"
    both = harmonic([True] * 9 + [False], [True, True, False, False, False])
    assert both.value == pytest.approx(2 * 0.9 * 0.4 / 1.3) and both.low < both.value < both.high
    assert harmonic([True], [False]).value == 0
    with pytest.raises(BadInput, match="no answer"):
        rate([])
