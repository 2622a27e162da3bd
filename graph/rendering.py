"""The graph's side of the conversation, written anew from typed state: edits of a waiting run are what a policy reads.

What the policy said stays as it was said, and so does a message of the graph that a person edited itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage

from ..tools.errors import BadEdit
from ..tools.knowledge import one_line
from ..tools.knowledge.explain import explain_actions
from ..tools.registry import tool
from .candidates import checked_actions
from .policies.kinematic.reading import read_definitions, read_measurements
from .prompts import METADATA, Request, by_graph, fused, is_outdated, is_untouched, opening
from .state import State

OVERLAYS: Final = ("track_motion", "estimate_pose", "detect_people")
"""Tools with overlays. Each draws what the next one draws, so the first one's frames are enough for a time span."""


def fused_message(evidence: Sequence[Mapping[str, Any]], request: Request) -> HumanMessage:
    """The message of `fuse` for the evidence of one round."""
    usable = [item for item in evidence if item["status"] == "ok"]
    texts = [(item["tool"], item["summary"]) for item in usable if tool(item["tool"]).extends_question]
    return fused(texts, [(item["tool"], item["frames"]) for item in with_frames_to_show(usable)], request)


def with_frames_to_show(evidence: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The evidence whose frames are shown to the policy: one overlay per time span, and all frames without overlay."""
    drawn: dict[tuple[float, float], Mapping[str, Any]] = {}
    for name in OVERLAYS:
        for item in evidence:
            if item["tool"] == name and item["frames"]:
                drawn.setdefault((item["start"], item["end"]), item)
    return [item for item in evidence if item["frames"] and (item["tool"] not in OVERLAYS or item in drawn.values())]


def reply_text(evidence: Mapping[str, Any]) -> str:
    """Text of the tool message; `fuse` adds explanations and descriptions to the question instead."""
    if evidence["status"] == "ok" and tool(evidence["tool"]).extends_question:
        return "done; the text follows in the next message"
    return str(evidence["summary"])


def edited(state: State) -> dict[str, Any]:
    """What edits of a waiting run change: `conversation` (the messages that change) and `evidence`, as far as needed.

    Raises:
        BadActions: The edited candidates cannot be used.
        BadEdit: Another edit cannot be honoured.
    """
    if is_outdated(state["conversation"]) or "asked" not in state:
        return {}
    if checked_actions(state["actions"]) != state["actions"]:
        raise BadEdit("edited actions have leading or trailing spaces; remove them")
    for name in ("start", "end"):
        if state.get(name) not in (None, state["asked"][name]):
            raise BadEdit(f"{name} cannot change once the video was looked at; start a new run with it")
    asked = {**state["asked"], "question": question_of(state), "actions": state["actions"]}
    try:
        evidence = _explained_anew(state) if state["actions"] != state["asked"]["actions"] else state["evidence"]
        changed = _changed(cast(State, {**state, "evidence": evidence}))
    except (KeyError, TypeError, AttributeError) as error:
        raise BadEdit(
            f"edited state cannot be read ({type(error).__name__}: {error}); keep the form of its items"
        ) from (error)
    if not changed:
        return {}
    read = [item for message, item in changed if item is not None and item.get("measured")]
    measured = [
        {**item, "measured": read_measurements(item["summary"]).to_json()} if item in read else item
        for item in evidence
    ]
    return {"conversation": [message for message, _ in changed], "evidence": measured, "asked": asked}


def _explained_anew(state: State) -> list[dict[str, Any]]:
    """The evidence for edited actions: explanations that lack one of them are written anew, from the knowledge base."""
    shown = {one_line(action) for action in state["actions"]}

    def is_stale(item: Mapping[str, Any]) -> bool:
        explains = item["tool"] == "explain_actions" and item["status"] == "ok"
        return explains and not shown <= read_definitions(item["summary"]).keys()

    text = explain_actions(state["actions"]).summary()
    return [{**item, "summary": text} if is_stale(item) else item for item in state["evidence"]]


def with_edits(state: State, changes: Mapping[str, Any]) -> State:
    """The state with the changes of `edited`."""
    new = {message.id: message for message in changes.get("conversation", ())}
    conversation = [new.get(message.id, message) for message in state["conversation"]]
    return cast(State, {**state, **changes, "conversation": conversation})


def checked_sub_actions(state: State) -> None:
    """Check sub-actions that may have been edited.

    Raises:
        BadEdit: They cannot be scored.
    """
    for k, item in enumerate(state["sub_actions"], 1):
        names = item.get("candidates")
        if item.get("rank") != k or not str(item.get("name") or "").strip() or not names:
            raise BadEdit(f"edited sub-action {k} needs the rank {k}, a name and candidates; ranks follow the order")
        if unknown := [name for name in names if name not in state["actions"]]:
            raise BadEdit(f"sub-action {k} has the candidate {unknown[0]!r}, which is not among the actions; edit both")


def question_of(state: State) -> str | None:
    """The question, edited or as asked."""
    return state.get("question") or state["asked"]["question"]


def _changed(state: State) -> list[tuple[AnyMessage, Mapping[str, Any] | None]]:
    """The messages of the graph whose words change, each with the evidence item whose text it is, if any."""
    evidence = state["evidence"]
    found: list[tuple[AnyMessage, Mapping[str, Any] | None]] = []
    answered = [m for m in state["conversation"] if _mark(m) == ("tool_exec", "tool")]
    if len(answered) != len(evidence):
        raise BadEdit(
            f"evidence has {len(evidence)} items for {len(answered)} tool calls; edit items instead of adding or "
            "removing them"
        )
    items, rounds = iter(evidence), 0
    for message in state["conversation"]:
        mark, item, content = _mark(message), None, message.content
        request = message.additional_kwargs.get(METADATA, {}).get("request")
        if mark == ("tool_select", "human") and request != "correct":
            content = opening(state["actions"], question_of(state), state["clip"], state["frames"], request)[1].content
        elif mark == ("tool_exec", "tool"):
            item = next(items)
            content = reply_text(item)
        elif mark == ("fuse", "human"):
            rounds += 1
            content = fused_message([item for item in evidence if item["round"] == rounds], request).content
        if _plain(content) != _plain(message.content) and is_untouched(message):
            changed = message.model_copy(update={"content": content})
            found.append((by_graph(changed, str(mark[0]), request), item))
    return found


def _mark(message: BaseMessage) -> tuple[str | None, str]:
    mark = message.additional_kwargs.get(METADATA, {})
    return (mark.get("node") if mark.get("author") == "graph" else None), message.type


def _plain(content: Any) -> str:
    return json.dumps(content, sort_keys=True)
