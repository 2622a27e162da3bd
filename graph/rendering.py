"""The graph's side of the conversation, written anew from typed state: edits of a waiting run are what a policy reads.

What the policy said stays as it was said, and so does a message of the graph that a person edited itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage

from ..tools.errors import BadEdit
from ..tools.knowledge import one_line
from ..tools.knowledge.explain import explain_actions
from ..tools.registry import tool
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


def rewritten(state: State, edited: Collection[str]) -> dict[str, Any]:
    """What changes if the graph's messages follow the state: `conversation` (those that change) and `evidence`.

    Args:
        state: The state of a waiting run, with edits.
        edited: What was edited: actions, question, frames, and `evidence <index>`.

    Raises:
        BadEdit: Evidence and tool calls do not match, or a message was edited as well as what it is written from.
    """
    if is_outdated(state["conversation"]):
        return {}
    if sum(_mark(message) == ("tool_exec", "tool") for message in state["conversation"]) != len(state["evidence"]):
        raise BadEdit(
            f"evidence has {len(state['evidence'])} items, but not as many tool calls have a result; edit items "
            "instead of adding or removing them or their messages"
        )
    if not edited:
        return {}
    evidence = [_followed(k, item, state, edited) for k, item in enumerate(state["evidence"])]
    changed = list(_changed(cast(State, {**state, "evidence": evidence}), edited))
    return {
        **({"conversation": changed} if changed else {}),
        **({"evidence": evidence} if evidence != state["evidence"] else {}),
    }


def _followed(k: int, item: dict[str, Any], state: State, edited: Collection[str]) -> dict[str, Any]:
    """An item of evidence with what follows from edits: what its summary measures, and what explains edited actions."""
    if f"evidence {k}" in edited:
        return {**item, "measured": read_measurements(item["summary"]).to_json()} if item.get("measured") else item
    actions = state["asked"]["actions"]
    if "actions" not in edited or item["tool"] != "explain_actions" or item["status"] != "ok":
        return item
    if {one_line(action) for action in actions} <= read_definitions(item["summary"]).keys():
        return item
    return {**item, "summary": explain_actions(actions).summary()}


def _changed(state: State, edited: Collection[str]) -> Iterator[AnyMessage]:
    """The messages of the graph whose words change."""
    evidence, asked = state["evidence"], state["asked"]
    items, rounds = iter(enumerate(evidence)), 0
    for message in state["conversation"]:
        mark, content, sources = _mark(message), message.content, set[str]()
        request = message.additional_kwargs.get(METADATA, {}).get("request")
        if mark == ("tool_select", "human") and request != "correct":
            content = opening(asked["actions"], asked["question"], state["clip"], state["frames"], request)[1].content
            sources = {"actions", "question", "frames"}
        elif mark == ("tool_exec", "tool"):
            k, item = next(items)
            content, sources = reply_text(item), {f"evidence {k}"}
        elif mark == ("fuse", "human"):
            rounds += 1
            own = {k: item for k, item in enumerate(evidence) if item["round"] == rounds}
            content, sources = fused_message([*own.values()], request).content, {f"evidence {k}" for k in own}
        if _plain(content) == _plain(message.content):
            continue
        if is_untouched(message):
            yield by_graph(message.model_copy(update={"content": content}), str(mark[0]), request)
        elif both := sorted(sources.intersection(edited)):
            raise BadEdit(f"{both[0]} and the message that shows it were both edited; edit one of them")


def _mark(message: BaseMessage) -> tuple[str | None, str]:
    mark = message.additional_kwargs.get(METADATA, {})
    return (mark.get("node") if mark.get("author") == "graph" else None), message.type


def _plain(content: Any) -> str:
    return json.dumps(content, sort_keys=True)
