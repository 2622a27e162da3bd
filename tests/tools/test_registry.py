"""The five tools as called by a policy and by other agents, on the bundled clip."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import ValidationError

from video_star.tools.describe import salient
from video_star.tools.drawing.annotators import RIGHT
from video_star.tools.errors import SpanOutsideVideo, UnknownTool
from video_star.tools.execution.cancellation import check_cancelled
from video_star.tools.registry import ALL_NAMES, TOOL_NAMES, langchain_tool, library, tool
from video_star.tools.video.clip import analysis_times, open_clip
from video_star.tools.video.reader import Frames, read_frames
from video_star.tools.video.writer import write_video as write_clip

from .video.hostile import write_video

pytestmark = pytest.mark.slow


def test_every_tool_has_a_description_and_described_arguments() -> None:
    assert tuple(library()) == ALL_NAMES == (*TOOL_NAMES, "detect_objects")
    for one in library().values():
        described = one.schema.model_json_schema()
        assert len(one.description) > 30 and described["description"] == one.description
        assert all(field["description"] for field in described["properties"].values())
        assert "video" not in described["properties"]


def test_an_unknown_tool_is_reported_with_the_known_names() -> None:
    with pytest.raises(UnknownTool, match="detect_people, estimate_pose"):
        tool("segment")


def test_each_tool_gives_text_a_result_and_frames(walking_clip: Path) -> None:
    for name in TOOL_NAMES:
        found = tool(name).run(open_clip(str(walking_clip), 0, 1), ["walk", "run"], 3)
        assert len(found.summary) > 40 and str(walking_clip) not in found.summary
        assert found.result is not None
        if name != "explain_actions":
            assert 1 <= len(found.frames) <= 3
            for seconds, image in found.frames:
                assert 0 <= seconds <= 1 and image.dtype == np.uint8 and image.shape[2] == 3


@pytest.mark.parametrize("size", [(16_000, 16), (16, 4000), (3, 2000), (2000, 2), (1, 1)])
def test_a_video_of_extreme_shape_keeps_its_tools(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "thin.avi", range(5), size=size, codec="mjpeg", pix_fmt="yuvj444p")
    for name in TOOL_NAMES:
        assert tool(name).run(open_clip(str(path)), ["walk", "run"], 3).summary, name


def test_overlays_are_cropped_to_the_people_and_differ_from_the_frame(walking_clip: Path) -> None:
    clip = open_clip(str(walking_clip), 0, 1)
    _, image = tool("estimate_pose").run(clip, [], 1).frames[0]
    whole = clip.frames().images[0]
    assert image.shape[0] < whole.shape[0]
    plain = tool("detect_people").run(clip, [], 1).frames[0][1]
    assert image.shape != plain.shape or (image != plain).any()


def test_where_only_hands_are_seen_the_tools_tell_of_hands_and_of_nobody(shared: Path, tmp_path: Path) -> None:
    whole = open_clip(str(shared / "clips" / "apply_eye_makeup.avi"), 0, 3).frames()
    enlarged = whole.images[:, 90:230, 150:290].repeat(3, axis=1).repeat(3, axis=2)
    write_clip(tmp_path / "hand.mp4", ((0.125, image) for image in enlarged))
    clip = open_clip(str(tmp_path / "hand.mp4"))
    posed, moved, told = (tool(name).run(clip, (), 1) for name in ("estimate_pose", "track_motion", "describe_video"))
    assert posed.summary.startswith("No people found") and "Hand 1 (right): " in posed.summary
    assert (posed.frames[0][1] == np.array(RIGHT)).all(axis=2).sum() > 100, "the hand is drawn"
    found = moved.result.measurements()
    assert found.support["hands_close"] > 0.9 and found.observed["hands_close"].by == "hands"
    assert not any(person.startswith("person") for person in (row.by for row in found.observed.values()))
    assert "hands fill the picture" in told.summary


async def test_a_tool_works_in_other_agents(walking_clip: Path) -> None:
    one = langchain_tool("detect_people")
    call = {"name": one.name, "args": {"video": str(walking_clip), "end": 0.5}, "id": "1", "type": "tool_call"}
    message = await one.ainvoke(call)
    assert "Person 1" in message.content and len(message.artifact.boxes) > 0
    asked = {"video": str(walking_clip), "end": 0.5, "hands": True}
    assert "No hands found" in langchain_tool("estimate_pose").invoke(asked)
    assert "No hands found" not in langchain_tool("estimate_pose").invoke(asked | {"hands": False})
    explained = langchain_tool("explain_actions").invoke({"actions": ["hug"]})
    assert explained.startswith('DEFINITIONS (JSON): {"hug":')
    with pytest.raises(ValidationError):
        langchain_tool("explain_actions").invoke({"actions": []})


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("detect_people", {"video": "made_up.mp4"}, "'made_up.mp4' does not exist"),
        ("track_motion", {"video": "CLIP", "start": 50, "end": 60}, "50"),
        ("describe_video", {"video": "https://example.org/clip.mp4"}, "VIDEO_STAR_HOSTS"),
        ("estimate_pose", {"video": "CLIP", "start": "now"}, "start"),
        ("explain_actions", {"actions": []}, "actions"),
    ],
)
async def test_an_agent_reads_the_error_of_a_tool(
    walking_clip: Path, name: Any, args: dict[str, Any], told: str
) -> None:
    args = {key: str(walking_clip) if value == "CLIP" else value for key, value in args.items()}
    wrong = AIMessage("", tool_calls=[{"name": name, "args": args, "id": "1"}])
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([langchain_tool(name)]))
    graph.add_edge(START, "tools")
    agent = graph.compile()
    for state in (await agent.ainvoke({"messages": [wrong]}), agent.invoke({"messages": [wrong]})):
        reply = state["messages"][-1]
        assert reply.status == "error" and reply.tool_call_id == "1" and told in reply.text


async def test_a_tool_stops_its_work_when_the_agent_is_cancelled(
    walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working, ended = threading.Event(), threading.Event()

    def endless(*args: Any) -> Any:
        working.set()
        try:
            while True:
                check_cancelled()
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr("video_star.tools.registry.open_clip", endless)
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([langchain_tool("detect_people")]))
    graph.add_edge(START, "tools")
    call = {"name": "detect_people", "args": {"video": str(walking_clip)}, "id": "1"}
    run = asyncio.create_task(graph.compile().ainvoke({"messages": [AIMessage("", tool_calls=[call])]}))
    assert await asyncio.to_thread(working.wait, 60)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await asyncio.to_thread(ended.wait, 60)


def test_an_agent_reads_the_error_of_a_broken_engine(walking_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("the engine broke")

    monkeypatch.setattr("video_star.tools.registry.open_clip", broken)
    one = langchain_tool("detect_people")
    reply = one.invoke({"type": "tool_call", "id": "1", "name": one.name, "args": {"video": str(walking_clip)}})
    assert reply.status == "error" and reply.text == "Error: RuntimeError: the engine broke"


def test_the_clip_is_decoded_once_for_all_tools(walking_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def counted(*args: Any, **options: Any) -> Frames:
        reads.append(args)
        return read_frames(*args, **options)

    monkeypatch.setattr("video_star.tools.video.clip.read_frames", counted)
    clip = open_clip(str(walking_clip), 1.25, 2.0)
    for name in TOOL_NAMES:
        tool(name).run(clip, ["walk"], 2)
    assert len(reads) == 1


def test_a_span_is_limited_to_the_clip_or_rejected(walking_clip: Path) -> None:
    clip = open_clip(str(walking_clip), 1, 3)
    assert (clip.span(2, 50).start, clip.span(2, 50).end) == (2, 3)
    with pytest.raises(SpanOutsideVideo, match="give a span inside the clip"):
        clip.span(4, 5)


def test_analysis_times_are_even_and_limited() -> None:
    for seconds, frames in ((0.04, 2), (1, 8), (6, 48), (10_000, 48)):
        times = analysis_times(10, 10 + seconds)
        assert len(times) == frames and 10 < times[0] and times[-1] < 10 + seconds
        assert np.allclose(np.diff(times), seconds / frames)


def test_salient_frames_are_where_the_picture_changes() -> None:
    images = np.zeros((40, 36, 48, 3), np.uint8)
    for k in range(20, 28):
        images[k:] = 30 * (k - 19)
    picked = salient(images)
    assert len(picked) == 4 and sum(19 <= k <= 28 for k in picked) >= 3
    assert salient(images[:3]) == (0, 1, 2)
    still = salient(np.zeros((40, 36, 48, 3), np.uint8))
    assert len(still) == 4 and min(np.diff(still)) >= 8
