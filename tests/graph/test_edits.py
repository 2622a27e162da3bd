"""Edits of a waiting run, as in Studio or by `update_state`: the policy reads them next, or they are refused."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from video_star.graph import Context, build_graph
from video_star.graph.prompts import requested
from video_star.graph.state import Input, Output, State
from video_star.tools.errors import BadActions, BadEdit, BadInput, MissingMedia
from video_star.tools.knowledge.explain import explain_actions
from video_star.tools.registry import TOOL_NAMES

from .conftest import Scripted

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
ACTIONS = ["walk", "run", "hug"]
WAVING = """OBSERVED, with support from 0 to 1:
- wave 1.00, 0.0 to 2.0 s, person 1: a raised hand goes from side to side
- stay_in_place 1.00, 0.0 to 2.0 s, person 1: the body stays where it is"""
Make = Callable[[list[Any]], Any]
Edit = Callable[[dict[str, Any]], dict[str, Any]]


async def resumed(policy: Any, clip: Path, node: str, edit: Edit, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of a run that waited before `node`, and the final state after the edit."""
    tools: Any = more.pop("tools", TOOL_NAMES)
    star = build_graph(policy=policy, context=Context(tools=list(tools), **more)).compile(
        checkpointer=InMemorySaver(), interrupt_before=[node]
    )
    await star.ainvoke({"video": str(clip), "actions": ACTIONS, "start": 0.0, "end": 1.0}, THREAD)
    before = (await star.aget_state(THREAD)).values
    await star.aupdate_state(THREAD, edit(before))
    await star.ainvoke(None, THREAD)
    return before, (await star.aget_state(THREAD)).values


def words(policy: Any, turn: int) -> str:
    return "\n".join(message.text for message in policy.received[turn])


async def test_a_waiting_run_without_edits_reads_the_same_words(
    replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    everything = replies.calls(*((name, {}) for name in TOOL_NAMES))
    policy = make_policy([everything, *replies.good()[1:]])
    before, after = await resumed(policy, walking_clip, "score", lambda state: {})
    kept = len(before["conversation"])
    assert after["conversation"][:kept] == before["conversation"]
    assert after["action"] == "walk" and after["status"] == "ok"


@pytest.mark.parametrize("node", ["decompose", "score"])
@pytest.mark.parametrize("tool", ["detect_people", "explain_actions"])
async def test_edited_evidence_is_read(
    replies: Any, make_policy: Make, walking_clip: Path, node: str, tool: str
) -> None:
    policy = make_policy(replies.good())

    def edit(state: dict[str, Any]) -> dict[str, Any]:
        return {
            "evidence": [
                {**item, "summary": "A hand waves, nine times."} if item["tool"] == tool else item
                for item in state["evidence"]
            ]
        }

    before, after = await resumed(policy, walking_clip, node, edit)
    turn = 1 if node == "decompose" else 2
    assert words(policy, turn).count("A hand waves, nine times.") == 1
    assert [m.id for m in after["conversation"]][: len(before["conversation"])] == [
        m.id for m in before["conversation"]
    ]


async def test_edited_frames_and_question_are_read(replies: Any, make_policy: Make, walking_clip: Path) -> None:
    policy = make_policy(replies.good())
    edit: Edit = lambda state: {"frames": state["frames"][:1], "question": "Which way is up?"}  # noqa: E731
    _, after = await resumed(policy, walking_clip, "decompose", edit)
    assert [b["type"] for b in policy.received[1][1].content] == ["text", "image", "text"]
    assert "Question: Which way is up?" in words(policy, 1) and "Question: Which way is up?" in words(policy, 2)
    assert after["asked"]["question"] == "Which way is up?"


async def test_edited_actions_are_asked_explained_and_ranked(
    replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    scores = replies.answer("wave", '{"1": {"wave": 9, "jump": 1}, "2": {"wave": 8, "jump": 1}}')
    policy = make_policy([*replies.good()[:2], scores])
    _, after = await resumed(policy, walking_clip, "decompose", lambda state: {"actions": ["jump", "wave"]})
    assert '["jump", "wave"]' in words(policy, 1) and '"hug"' not in words(policy, 1)
    assert 'DEFINITIONS (JSON): {"jump":' in words(policy, 1)
    assert [item["action"] for item in after["ranking"]] == ["wave", "jump"] and after["status"] == "ok"


async def test_files_are_read_for_an_edit_in_a_thread_and_not_on_the_event_loop(
    replies: Any, make_policy: Make, walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def explained(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return explain_actions(*args)

    monkeypatch.setattr("video_star.graph.rendering.explain_actions", explained)
    scores = replies.answer("wave", '{"1": {"wave": 9, "jump": 1}, "2": {"wave": 8, "jump": 1}}')
    policy = make_policy([*replies.good()[:2], scores])
    await resumed(policy, walking_clip, "decompose", lambda state: {"actions": ["jump", "wave"]})
    assert threads and threading.current_thread() not in threads


async def test_edited_sub_actions_are_listed_and_scored(replies: Any, make_policy: Make, walking_clip: Path) -> None:
    policy = make_policy([*replies.good()[:2], replies.answer("run", '{"1": {"run": 9, "hug": 2}}')])
    one = {"name": "arms swing", "rank": 1, "weight": 1, "candidates": ["run", "hug"], "scores": {}}
    _, after = await resumed(policy, walking_clip, "score", lambda state: {"sub_actions": [one]})
    assert '{"1": {"sub_action": "arms swing", "candidates": ["run", "hug"]}}' in words(policy, 2)
    assert "legs swing in steps" not in policy.received[2][-1].text
    assert after["action"] == "run" and after["ranking"][0]["score"] == 0.9


async def test_a_message_that_a_person_edited_stays_as_edited(
    replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    policy = make_policy(replies.good())

    def edit(state: dict[str, Any]) -> dict[str, Any]:
        message = next(m for m in state["conversation"] if m.type == "tool")
        return {"conversation": [message.model_copy(update={"content": "Nobody is there."})]}

    await resumed(policy, walking_clip, "decompose", edit)
    assert "Nobody is there." in words(policy, 1) and "Person 1" not in words(policy, 1)


async def test_the_embedded_policy_follows_edited_evidence(walking_clip: Path) -> None:
    def edit(state: dict[str, Any]) -> dict[str, Any]:
        changed = [{**e, "summary": WAVING} if e["tool"] == "track_motion" else e for e in state["evidence"]]
        return {"evidence": changed, "actions": ["walk", "wave"]}

    _, after = await resumed(None, walking_clip, "decompose", edit)
    assert after["action"] == "wave"
    measured = [item["measured"]["observed"] for item in after["evidence"] if item["tool"] == "track_motion"]
    assert set(measured[0]) == {"wave", "stay_in_place"}


class ByRequest(Scripted):
    """Replies by what the conversation requests, so that forks of one run do not use up each other's replies."""

    by_request: dict[str, Any] = {}

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.replies = [self.by_request[requested(messages)]]
        return super()._generate(messages, *args, **kwargs)


def first_item(state: dict[str, Any], field: str, **changes: Any) -> dict[str, Any]:
    return {field: [{**state[field][0], **changes}, *state[field][1:]]}


def reply(state: dict[str, Any], *, last: bool = False, **changes: Any) -> dict[str, Any]:
    """An edit of the first reply of the policy, or of the last one."""
    replies = [m for m in state["conversation"] if m.type == "ai"]
    return {"conversation": [replies[-1 if last else 0].model_copy(update=changes)]}


SUB_ACTION = {"name": "arms swing", "rank": 1, "weight": 1, "candidates": ["run", "hug"], "scores": {}}
CALL = {"name": "track_motion", "args": {"end": 0.5}, "id": "c0", "type": "tool_call"}
ROUNDS = ["tool_exec", "fuse", "tool_select", "tool_exec", "fuse", "decompose", "score"]
HONOURED: dict[str, tuple[Edit, str]] = {
    "actions": (lambda state: {"actions": ["jump", "wave"]}, '["jump", "wave"]'),
    "asked": (lambda state: {"asked": {**state["asked"], "question": "Up?"}}, "Question: Up?"),
    "asked actions": (lambda state: {"asked": {**state["asked"], "actions": ["jump", "sit"]}}, '["jump", "sit"]'),
    "question": (lambda state: {"question": "Which way?"}, "Question: Which way?"),
    "no question": (lambda state: {"question": None}, "Question: What is the action in this video?"),
    "frames": (lambda state: {"frames": [{**state["frames"][0], "time": 0.77}]}, "Frames at 0.77 s:"),
    "conversation": (lambda state: reply(state, content="I saw it all."), "I saw it all."),
}
"""By field: an edit, and what the policy reads then; before any node."""
WITH_EVIDENCE: dict[str, tuple[Edit, str]] = {
    "evidence": (lambda state: first_item(state, "evidence", summary="Nine hands."), "Nine hands."),
    "evidence status": (
        lambda state: first_item(state, "evidence", status="unavailable", summary="unavailable: dark"),
        "unavailable: dark",
    ),
}
"""The same, once a tool ran."""
REFUSED: dict[str, Edit] = {
    "video": lambda state: {"video": "other.mp4"},
    "start": lambda state: {"start": 0.5},
    "no start": lambda state: {"start": None},
    "end": lambda state: {"end": 0.9},
    "asked": lambda state: {"asked": {**state["asked"], "video": "other.mp4"}},
    "asked end": lambda state: {"asked": {**state["asked"], "end": 0.5}},
    "asked without actions": lambda state: {"asked": {"video": state["asked"]["video"]}},
    "no asked": lambda state: {"asked": None},
    "clip": lambda state: {"clip": {**state["clip"], "end": 0.5}},
    "settings": lambda state: {"settings": {**state["settings"], "mode": "no_tools"}},
    "rounds": lambda state: {"rounds": 0},
    "timings": lambda state: {"timings": []},
    "began": lambda state: {"began": 0.0},
    "usage": lambda state: {"usage": {}},
    "status": lambda state: {"status": "failed"},
    "notes": lambda state: {"notes": ["all is well"]},
    "action": lambda state: {"action": "hug"},
    "ranking": lambda state: {"ranking": [{"action": "hug", "score": 1.0}]},
    "confidence": lambda state: {"confidence": 1.0},
    "calibrated_on": lambda state: {"calibrated_on": "everything"},
    "error": lambda state: {"error": "none"},
    "error_type": lambda state: {"error_type": "None"},
    "seals": lambda state: {"seals": {}},
    "no seals": lambda state: {"seals": None},
    "actions": lambda state: {"actions": ["walk", "Walk"]},
    "actions as a text": lambda state: {"actions": "walk, run"},
    "actions of another type": lambda state: {"actions": 7},
    "question": lambda state: {"question": {"text": "Up?"}},
    "frames": lambda state: first_item(state, "frames", url="http://127.0.0.1:9/x.jpg"),
    "frames of a file": lambda state: first_item(state, "frames", url="file:///etc/passwd"),
    "frames without times": lambda state: {"frames": [{"url": f["url"]} for f in state["frames"]]},
    "no frames": lambda state: {"frames": None},
    "many frames": lambda state: {"frames": state["frames"] * 30},
    "evidence": lambda state: {"evidence": [*state["evidence"], {"tool": "detect_people"}]},
    "no evidence": lambda state: {"evidence": None},
    "conversation": lambda state: {
        "conversation": [AIMessage("", tool_calls=[{**CALL, "id": "c77"}]), HumanMessage("go on")]
    },
}
"""By field: edits that are refused before any node."""
WITH_EVIDENCE_REFUSED: dict[str, Edit] = {
    "evidence measured": lambda state: first_item(state, "evidence", measured={"observed": {}}),
    "evidence tool": lambda state: first_item(state, "evidence", tool="track_motion"),
    "evidence span": lambda state: first_item(state, "evidence", end=0.9),
    "evidence status": lambda state: first_item(state, "evidence", status="fine"),
    "evidence summary": lambda state: first_item(state, "evidence", summary=["a", "b"]),
    "fewer evidence": lambda state: {"evidence": state["evidence"][1:]},
    "conversation": lambda state: reply(state, tool_calls=[CALL]),
    "conversation without results": lambda state: {
        "conversation": [RemoveMessage(next(m.id for m in state["conversation"] if m.type == "tool"))]
    },
    "conversation and evidence": lambda state: {
        **first_item(state, "evidence", summary="Nine hands."),
        "conversation": [
            next(m for m in state["conversation"] if m.type == "tool").model_copy(update={"content": "No hands."})
        ],
    },
}
"""The same, once a tool ran."""
SUB_ACTIONS: tuple[Edit, str] = (lambda state: {"sub_actions": [SUB_ACTION]}, '"sub_action": "arms swing"')
WITH_SUB_ACTIONS: tuple[Edit, str] = (
    lambda state: {
        "asked": {**state["asked"], "actions": ["jump", "sit"]},
        "sub_actions": [{**SUB_ACTION, "candidates": ["jump"]}],
    },
    '["jump", "sit"]',
)
REFUSED_BEFORE_SCORE: dict[str, Edit] = {
    "scores": lambda state: {"sub_actions": [{**SUB_ACTION, "scores": {"run": 9}}]},
    "weight": lambda state: {"sub_actions": [{**SUB_ACTION, "weight": 5}]},
    "rank": lambda state: {"sub_actions": [{**SUB_ACTION, "rank": 2}]},
    "candidates": lambda state: {"sub_actions": [{**SUB_ACTION, "candidates": ["fly"]}]},
    "form": lambda state: {"sub_actions": ["arms swing"]},
    "many": lambda state: {"sub_actions": [SUB_ACTION] * 9},
    "none": lambda state: {"sub_actions": None},
    "the call of decompose": lambda state: reply(state, last=True, tool_calls=[]),
}


async def test_before_every_node_every_field_is_honoured_or_refused(
    replies: Any, walking_clip: Path, warm: Path
) -> None:
    chosen, decomposed, scored = replies.good()
    again = replies.calls(("detect_people", {"start": 0.2, "end": 0.7}))
    turns = {"choose": chosen, "choose_more": again, "decompose": decomposed, "score": scored}
    policy = ByRequest(replies=[None], by_request=turns)
    star = build_graph(policy=policy, context=Context(max_rounds=2, frames=4)).compile(
        checkpointer=InMemorySaver(), interrupt_before=["tool_select", "tool_exec", "fuse", "decompose", "score"]
    )
    asked: Any = {"video": str(walking_clip), "actions": ACTIONS, "start": 0.0, "end": 1.0, "question": "Who?"}
    await star.ainvoke(asked, THREAD)
    waiting = await star.aget_state(THREAD)
    wrong: list[Any] = []
    covered: set[str] = set()
    for node in ROUNDS:
        await star.ainvoke(None, waiting.config)
        waiting = await star.aget_state(THREAD)
        assert waiting.next == (node,)
        honoured, refused = dict(HONOURED), dict(REFUSED)
        if waiting.values["evidence"]:
            honoured, refused = honoured | WITH_EVIDENCE, refused | WITH_EVIDENCE_REFUSED
        if node == "score":
            # Sub-actions name their candidates: both have to be edited.
            refused |= REFUSED_BEFORE_SCORE | {"actions": honoured.pop("actions")[0]}
            honoured = honoured | {"sub_actions": SUB_ACTIONS, "asked actions": WITH_SUB_ACTIONS}
        else:
            refused |= {"sub_actions": SUB_ACTIONS[0]}
        for name, (edit, read) in honoured.items():
            covered |= edit(waiting.values).keys()
            fork = await star.aupdate_state(waiting.config, edit(waiting.values))
            await star.ainvoke(None, fork)
            after = (await star.aget_state(THREAD)).values
            shown = "\n".join(message.text for message in after["conversation"])
            if read not in shown:
                wrong.append((node, name, "not read"))
        for name, edit in refused.items():
            covered |= edit(waiting.values).keys()
            try:
                fork = await star.aupdate_state(waiting.config, edit(waiting.values))
                await star.ainvoke(None, fork)
                wrong.append((node, name, "not refused"))
            except (BadEdit, BadActions):
                pass
            except Exception as error:
                wrong.append((node, name, repr(error)))
    assert wrong == []
    fields = set(State.__annotations__) | set(Input.__annotations__) | set(Output.__annotations__)
    assert covered >= fields


@pytest.mark.parametrize(
    ("node", "edit", "error"),
    [
        ("decompose", lambda state: {"actions": []}, BadActions),
        ("decompose", lambda state: {"actions": ["walk", "Walk"]}, BadActions),
        ("decompose", lambda state: {"end": 0.5}, BadEdit),
        ("decompose", lambda state: {"evidence": []}, BadEdit),
        ("decompose", lambda state: {"evidence": [{"tool": "detect_people"}] * 2}, BadEdit),
        ("score", lambda state: {"actions": ["jump", "wave"]}, BadEdit),
        ("score", lambda state: {"sub_actions": [{"name": "arms swing"}]}, BadEdit),
    ],
)
async def test_edits_that_cannot_be_honoured_are_refused(
    replies: Any, make_policy: Make, walking_clip: Path, node: str, edit: Edit, error: type[Exception]
) -> None:
    policy = make_policy(replies.good())
    with pytest.raises(error):
        await resumed(policy, walking_clip, node, edit)


def waiting_run(policy: Any, node: str, **context: Any) -> Any:
    offered = Context(tools=["detect_people", "explain_actions"], frames=2, **context)
    return build_graph(policy=policy, context=offered).compile(
        checkpointer=InMemorySaver(), interrupt_before=[node] if node else []
    )


def given(clip: Path, **more: Any) -> Any:
    return {"video": str(clip), "actions": ACTIONS, "end": 1.0, **more}


async def test_an_edit_before_the_first_node_is_a_whole_input(
    replies: Any, make_policy: Make, walking_clip: Path, warm: Path
) -> None:
    policy = make_policy(replies.good())
    star = waiting_run(policy, "tool_select")
    await star.ainvoke(given(walking_clip, question="Who?"), THREAD)
    partial: list[Any] = [
        {"question": "Up?"},
        {"actions": ["hug", "run"]},
        {"video": str(walking_clip)},
        {"frames": []},
    ]
    for edit in partial:
        await star.aupdate_state(THREAD, edit)
        with pytest.raises(BadInput, match="give a video and actions"):
            await star.ainvoke(None, THREAD)
    await star.aupdate_state(THREAD, given(walking_clip, question="Up?"))
    await star.ainvoke(None, THREAD)
    assert "Question: Up?" in words(policy, 0)


@pytest.mark.parametrize("omitted", ["video", "actions"])
@pytest.mark.parametrize("node", ["", "tool_select", "tool_exec", "score"])
async def test_a_run_takes_neither_video_nor_actions_of_the_run_before(
    replies: Any, make_policy: Make, walking_clip: Path, warm: Path, omitted: str, node: str
) -> None:
    star = waiting_run(make_policy(replies.good()), node)
    await star.ainvoke(given(walking_clip), THREAD)
    with pytest.raises(BadInput, match=f"no {omitted} given"):
        await star.ainvoke({name: value for name, value in given(walking_clip).items() if name != omitted}, THREAD)
        await star.ainvoke(None, THREAD)


async def test_a_new_run_where_another_waits_for_its_second_round_begins_anew(
    replies: Any, make_policy: Make, walking_clip: Path, warm: Path
) -> None:
    policy = make_policy(replies.good())
    star = waiting_run(policy, "tool_select", max_rounds=2)
    await star.ainvoke(given(walking_clip, question="Who?"), THREAD)
    await star.ainvoke(None, THREAD)
    assert (await star.aget_state(THREAD)).values["rounds"] == 1
    await star.ainvoke(given(walking_clip), THREAD)
    await star.ainvoke(None, THREAD)
    state = (await star.aget_state(THREAD)).values
    assert state["rounds"] == 1 and state["asked"]["question"] is None and "Who?" not in words(policy, -1)


@pytest.mark.parametrize("node", ["tool_select", "decompose", "score"])
async def test_missing_images_of_a_waiting_run_are_a_typed_error_with_a_remedy(
    replies: Any, make_policy: Make, walking_clip: Path, home: Path, node: str
) -> None:
    star = waiting_run(make_policy([replies.good()[0], *replies.good()]), node, max_rounds=2)
    await star.ainvoke(given(walking_clip), THREAD)
    await star.ainvoke(None, THREAD) if node == "tool_select" else None
    for image in (home / "media").iterdir():
        image.unlink()
    with pytest.raises(MissingMedia, match="start the run again, or set VIDEO_STAR_HOME") as caught:
        await star.ainvoke(None, THREAD)
    assert str(home) not in str(caught.value)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "http://127.0.0.1:9/x.jpg"},
        {"type": "image", "url": "file:///etc/passwd"},
        {"type": "image", "url": "media://../../etc/passwd"},
        {"type": "image", "base64": "aGk=", "mime_type": "image/jpeg"},
        {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x.jpg"}},
        {"type": "video", "url": "http://127.0.0.1:9/x.mp4"},
        {"type": "file", "file_id": "1"},
        {"image": "/etc/passwd"},
    ],
)
@pytest.mark.parametrize("role", ["human", "ai", "tool"])
async def test_a_message_never_makes_a_model_fetch_anything(
    replies: Any, make_policy: Make, walking_clip: Path, warm: Path, block: dict[str, Any], role: str
) -> None:
    policy = make_policy(replies.good())
    star = waiting_run(policy, "decompose")
    await star.ainvoke(given(walking_clip), THREAD)
    message = next(m for m in (await star.aget_state(THREAD)).values["conversation"] if m.type == role)
    await star.aupdate_state(THREAD, {"conversation": [message.model_copy(update={"content": [block]})]})
    asked = len(policy.received)
    with pytest.raises(BadInput):
        await star.ainvoke(None, THREAD)
    assert len(policy.received) == asked


async def test_a_state_that_a_browser_sends_back_whole_is_no_edit(
    replies: Any, make_policy: Make, walking_clip: Path, warm: Path
) -> None:
    def as_in_a_browser(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_in_a_browser(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [as_in_a_browser(inner) for inner in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    star = waiting_run(make_policy(replies.good()), "score")
    await star.ainvoke(given(walking_clip, start=0.0), THREAD)
    state = (await star.aget_state(THREAD)).values
    messages = [message.model_dump(mode="json") for message in state.pop("conversation")]
    await star.aupdate_state(THREAD, as_in_a_browser({**state, "conversation": messages}))
    assert (await star.ainvoke(None, THREAD))["action"] == "walk"


async def test_an_edited_reply_loses_its_token_ids(
    replies: Any, make_policy: Make, walking_clip: Path, warm: Path
) -> None:
    chosen = replies.good()[0]
    chosen.response_metadata["token_track"] = {"prompt_ids": [1], "completion_ids": [2], "logprobs": []}
    star = waiting_run(make_policy([chosen, *replies.good()[1:]]), "decompose")
    for edit, kept in ("", True), ("I saw it all.", False):
        await star.ainvoke(given(walking_clip), THREAD)
        before = (await star.aget_state(THREAD)).values
        assert [m for m in before["conversation"] if "tokens" in m.additional_kwargs["video_star"]]
        if edit:
            await star.aupdate_state(THREAD, reply(before, content=edit))
        await star.ainvoke(None, THREAD)
        after = (await star.aget_state(THREAD)).values["conversation"]
        assert any("tokens" in m.additional_kwargs["video_star"] for m in after) == kept
        star = waiting_run(make_policy([chosen, *replies.good()[1:]]), "decompose")


@pytest.mark.parametrize("node", ["tool_exec", "fuse", "decompose", "score"])
async def test_a_finished_or_empty_thread_does_not_go_on_from_the_middle(
    replies: Any, make_policy: Make, walking_clip: Path, warm: Path, node: str
) -> None:
    star = waiting_run(make_policy(replies.good()), "")
    with pytest.raises(BadInput, match="no run of this thread waits|no actions given"):
        await star.ainvoke(Command(goto=node), THREAD)
    thread: RunnableConfig = {"configurable": {"thread_id": "2"}}
    await star.ainvoke(given(walking_clip), thread)
    with pytest.raises(BadEdit, match="the run has finished"):
        await star.ainvoke(Command(goto=node), thread)
