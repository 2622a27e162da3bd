"""Every script in examples/ runs and prints what its docstring promises."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langgraph.errors import InvalidUpdateError
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from video_star import build_graph
from video_star.tools.video.source import DEMO_CLIP

from ..clips import cut_clip

pytestmark = pytest.mark.slow


class WithoutReducer(TypedDict, total=False):
    video: str
    actions: list[str]
    notes: list[str]


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLES)
    return import_module(request.param)


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """One second of the demo clip."""
    cut_clip(DEMO_CLIP, tmp_path / "clip.mp4", 0, 1)
    return str(tmp_path / "clip.mp4")


def test_every_example_is_tested() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'"{path.stem}"' not in tested] == []


@pytest.mark.parametrize("example", ["subgraph"], indirect=True)
def test_a_parent_graph_uses_the_result(example: ModuleType, clip: str, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(clip)
    assert capsys.readouterr().out.startswith("A video of the action 'walk' (score ")


@pytest.mark.parametrize("example", ["parallel_siblings"], indirect=True)
def test_siblings_that_write_the_same_keys_need_reducers(
    example: ModuleType, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main(clip)
    told = capsys.readouterr().out
    assert told.startswith("walk; notes: ") and "the sound was not examined" in told and "error: None" in told
    parent: Any = StateGraph(WithoutReducer)
    parent.add_node("star", build_graph().compile())
    parent.add_node("listen", lambda state: {"notes": ["the sound was not examined"]})
    parent.add_edge(START, "star")
    parent.add_edge(START, "listen")
    with pytest.raises(InvalidUpdateError):
        parent.compile().invoke({"video": clip, "actions": ["walk", "run", "hug"]})


@pytest.mark.parametrize("example", ["agent_tool"], indirect=True)
def test_an_agent_reports_what_the_tool_returned(
    example: ModuleType, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main(clip)
    assert capsys.readouterr().out.startswith("The video shows: walk (score ")


@pytest.mark.parametrize("example", ["own_tool"], indirect=True)
def test_the_summary_of_an_own_tool_is_evidence(
    example: ModuleType, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main(clip)
    assert "describe_video: Mean brightness" in capsys.readouterr().out


@pytest.mark.parametrize("example", ["own_engine"], indirect=True)
def test_an_own_engine_finds_what_moves(
    example: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEO_STAR_VISION", "embedded")
    example.main()
    assert "One person is seen" in capsys.readouterr().out


@pytest.mark.parametrize("example", ["batch_folder"], indirect=True)
def test_a_batch_is_resumed_and_survives_an_unreadable_clip(
    example: ModuleType, clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = Path(clip).parent, tmp_path / "out"
    (folder / "broken.mp4").write_bytes(b"not a video")
    command = [str(folder), "--actions", "walk, run", "--out", str(out), "--concurrency", "2"]
    example.main(command)
    assert sorted(line.split(":")[0] for line in capsys.readouterr().out.splitlines()) == ["broken.mp4", "clip.mp4"]
    cut_clip(DEMO_CLIP, folder / "second.mp4", 2, 3)
    example.main(command)
    assert [line.split(":")[0] for line in sorted(capsys.readouterr().out.splitlines())] == ["broken.mp4", "second.mp4"]
    records = [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]
    assert [Path(record["request"]["source"]).name for record in records] == ["clip.mp4", "second.mp4"]
