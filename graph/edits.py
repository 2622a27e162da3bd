"""Edits of a waiting run, as in Studio or by `update_state`: honoured before the next node, or refused with `BadEdit`.

A person may edit the actions and the question, the frames, summary, frames and status of evidence, the sub-actions
before they are scored, and the messages of the conversation. The rest is computed by the run: after every node the
state gets checksums of it, which are compared before the next node.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from zlib import crc32

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langgraph.types import Overwrite

from ..tools.errors import BadEdit, VideoStarError
from ..tools.execution.media_store import SCHEME
from .candidates import checked_actions
from .prompts import METADATA, is_untouched, seal
from .ranking import weights
from .rendering import rewritten
from .replies.sub_actions import MAX_SUB_ACTIONS
from .replies.tool_calls import MAX_CALLS
from .state import MAX_FRAMES, Input, State

FURTHER_ROUND: Final = "further_round"
"""Key in the input of tool_select in a further round: without it, tool_select starts a new run."""
_EDITABLE: Final = frozenset(("conversation", "frames", "evidence", "sub_actions", "asked", "seals"))
COMPUTED: Final = tuple(State.__annotations__.keys() - Input.__annotations__.keys() - _EDITABLE)
"""Fields that only the run writes."""
_ASKED: Final = ("video", "start", "end")
"""What was asked and cannot change once the video was looked at."""
_MAY_CHANGE: Final = ("actions", "question", "frames")
_OF_EVIDENCE: Final = ("summary", "frames", "status")
"""What may change in an item of evidence."""


def starts_run(node: str, state: State) -> bool:
    """Whether `node` starts a new run, for which nothing that the state holds counts but the input."""
    return node == "tool_select" and FURTHER_ROUND not in state


@dataclass(frozen=True)
class Edits:
    """What a person edited before a node."""

    asked: dict[str, Any]
    """What was asked, with the actions and the question as edited."""
    edited: frozenset[str] = frozenset()
    """Of actions, question, frames, sub_actions and `evidence <index>`, those that were edited."""


def edits_of(state: State, node: str) -> Edits:
    """What was edited since the last node; reads no file.

    Raises:
        BadActions: The edited candidates cannot be used.
        BadEdit: Another edit cannot be honoured, or no run waits before `node`.
    """
    if "seals" not in state:
        return Edits(_asked_of_earlier_version(state, node))
    with _as_bad_edit():
        asked = _edited_question(state)
        edited = _edited(cast(State, {**state, "asked": {**state["asked"], **asked}}), node)
        _check_frames(state["frames"])
        for item in state["evidence"]:
            _check_evidence(item)
        if node == "score":
            _check_sub_actions(state["sub_actions"], asked["actions"])
        _check_calls(state["conversation"], waits=node == "tool_exec")
        return Edits(asked, frozenset(edited))


def honoured(state: State, edits: Edits) -> dict[str, Any]:
    """The state update that makes the node go on from what a person edited; it also contains `asked`.

    Raises:
        BadEdit: An edit cannot be honoured.
    """
    if "seals" not in state:
        return {"asked": edits.asked}
    with _as_bad_edit():
        changes = rewritten(cast(State, {**state, "asked": edits.asked}), edits.edited)
        changed = [*changes.pop("conversation", ()), *_without_tokens(state["conversation"])]
        return {**changes, "asked": edits.asked, **({"conversation": changed} if changed else {})}


@contextmanager
def _as_bad_edit() -> Iterator[None]:
    """Raise `BadEdit` where edited state lacks the form of what the run wrote."""
    try:
        yield
    except VideoStarError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise BadEdit(
            f"edited state cannot be read ({type(error).__name__}: {error}); keep the form of its items"
        ) from error


def with_edits(state: State, changes: Mapping[str, Any]) -> State:
    """The state with the changes of `honoured`."""
    new = {message.id: message for message in changes.get("conversation", ())}
    conversation = [new.get(message.id, message) for message in state.get("conversation", ())]
    return cast(State, {**state, **changes, "conversation": conversation})


def sealed(state: State, changes: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """The update of a node that began with `state`, with the changes of `honoured` and the new checksums."""
    new = update.get("conversation", [])
    added = new.value if isinstance(new, Overwrite) else new
    for message in added:
        if message.additional_kwargs.get(METADATA, {}).get("author") == "policy":
            seal(message)
    after = {**state, **update, "conversation": added if isinstance(new, Overwrite) else _joined(state, added)}
    both = new if isinstance(new, Overwrite) else [*changes.get("conversation", ()), *added]
    return {**changes, **update, "conversation": both, "seals": _seals(after)}


def _joined(state: State, added: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The conversation with new messages, some of which may replace earlier ones."""
    replaced = {message.id for message in added if message.id}
    return [*(message for message in state["conversation"] if message.id not in replaced), *added]


def _seals(state: Mapping[str, Any]) -> dict[str, int]:
    fixed = [{key: item[key] for key in item if key not in _OF_EVIDENCE} for item in state["evidence"]]
    values = {
        **{name: state.get(name) for name in (*COMPUTED, "sub_actions", "frames")},
        "evidence": fixed,
        "asked": [state["asked"].get(name) for name in _ASKED],
        **{name: state["asked"].get(name) for name in ("actions", "question")},
        **{f"evidence {k}": [item[key] for key in _OF_EVIDENCE] for k, item in enumerate(state["evidence"])},
        "calls": [message.tool_calls for message in _answered(state["conversation"])],
    }
    return {name: crc32(json.dumps(_canonical(value), sort_keys=True).encode()) for name, value in values.items()}


def _canonical(value: Any) -> Any:
    """The value as JSON reads it back; a whole number is an int, because browsers write 1.0 as 1."""
    if isinstance(value, Mapping):
        return {str(key): _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _answered(conversation: Sequence[BaseMessage]) -> list[AIMessage]:
    """The replies whose tool calls were answered."""
    pairs = zip(conversation, conversation[1:], strict=False)
    return [
        message
        for message, following in pairs
        if isinstance(message, AIMessage) and message.tool_calls and isinstance(following, ToolMessage)
    ]


_REMEDIES: Final[Mapping[str, str]] = {
    "asked": "start a new run with another video, start or end",
    "evidence": "only summary, frames and status of an item can change; what was measured follows from its summary",
    "calls": "tool calls that were answered cannot change; fork the run before tool_exec, or edit sub_actions",
    "sub_actions": "they can change before score, if decompose named any",
}


def _edited(state: State, node: str) -> set[str]:
    """What was edited: actions, question, frames, sub_actions, and `evidence <index>`.

    Raises:
        BadEdit: Something else was edited.
    """
    edited = {name for name, value in _seals(state).items() if state["seals"].get(name) != value}
    may_change = {name for name in edited if name in _MAY_CHANGE or name.startswith("evidence ")}
    if node == "score" and any(m.type == "tool" and m.name == "decompose" for m in state["conversation"]):
        may_change.add("sub_actions")
    if refused := sorted(edited - may_change):
        remedy = _REMEDIES.get(refused[0], "it follows from the rest; edit actions, evidence or sub_actions instead")
        raise BadEdit(f"{refused[0]} cannot be edited before {node}: {remedy}")
    given: Mapping[str, Any] = state
    for name in _ASKED:
        if name in given and given[name] != state["asked"][name]:
            raise BadEdit(f"{name} cannot change once the video was looked at; start a new run with it")
    if state.get("action") is not None or state.get("error_type") is not None:
        raise BadEdit(f"the run has finished; fork it from the step before {node}, or start a new run")
    return edited


def _edited_question(state: State) -> dict[str, Any]:
    """What was asked, with the actions and the question as edited."""
    given: Mapping[str, Any] = state
    asked = {**state["asked"], **{name: given[name] for name in ("actions", "question") if name in given}}
    return {
        **asked,
        "actions": checked_actions(asked["actions"]),
        "question": checked_question(asked["question"], BadEdit),
    }


def checked_question(question: Any, error: type[VideoStarError]) -> str | None:
    """The question about the video, None for the default; raises `error` if it is not text."""
    if question is not None and not isinstance(question, str):
        raise error(f"the question is {str(question)[:60]!r}; give a text, or none")
    return question or None


def _check_frames(frames: Any) -> None:
    for frame in frames:
        if not str(frame["url"]).startswith(SCHEME) or not str(frame["url"]).endswith(".jpg"):
            raise BadEdit(f"the frame {str(frame['url'])[:80]!r} is not an image of the media store")
        if isinstance(frame["time"], bool) or not isinstance(frame["time"], int | float):
            raise BadEdit(f"the frame {frame['url']} needs its time in seconds")
    if len(frames) > MAX_FRAMES:
        raise BadEdit(f"{len(frames)} frames are too many; keep at most {MAX_FRAMES}")


def _check_evidence(item: Mapping[str, Any]) -> None:
    if item["status"] not in ("ok", "unavailable") or not isinstance(item["summary"], str) or not item["summary"]:
        raise BadEdit(f"evidence of {item['tool']} needs the status ok or unavailable, and a text as summary")
    _check_frames(item["frames"])


def _check_sub_actions(sub_actions: Sequence[Mapping[str, Any]], actions: Sequence[str]) -> None:
    if len(sub_actions) > MAX_SUB_ACTIONS:
        raise BadEdit(f"{len(sub_actions)} sub-actions are too many; keep at most {MAX_SUB_ACTIONS}")
    for k, (item, weight) in enumerate(zip(sub_actions, weights(len(sub_actions)), strict=True), 1):
        if item["rank"] != k or item["weight"] != weight:
            raise BadEdit(f"sub-action {k} of {len(sub_actions)} needs the rank {k} and the weight {weight}")
        names, name = item["candidates"], item["name"]
        if not isinstance(name, str) or not name.strip() or not isinstance(names, list) or not names:
            raise BadEdit(f"sub-action {k} needs a name and a list of candidates")
        if unknown := [name for name in names if name not in actions]:
            raise BadEdit(f"sub-action {k} has the candidate {unknown[0]!r}, which is not among the actions; edit both")
        if item["scores"]:
            raise BadEdit(f"sub-action {k} has scores, which score computes; leave them empty")


def _check_calls(conversation: Sequence[BaseMessage], *, waits: bool) -> None:
    """Check that only the last message has calls without a result, and only if the run `waits` before tool_exec."""
    if not conversation:
        raise BadEdit("the conversation has no messages; edit some of them instead of removing all")
    done = {message.tool_call_id for message in conversation if isinstance(message, ToolMessage)}
    for number, message in enumerate(conversation, 1):
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        last = waits and number == len(conversation)
        if not last and any(call["id"] not in done for call in calls):
            raise BadEdit("a tool call of the conversation has no result; remove the call, or the messages after it")
        if last and (len(calls) > MAX_CALLS or len({call["id"] for call in calls if call["id"]}) < len(calls)):
            raise BadEdit(f"the last message needs at most {MAX_CALLS} tool calls, each with an id of its own")


def _without_tokens(conversation: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Edited replies of the policy without their token ids, which are those of the reply as it was sampled."""
    found: list[AnyMessage] = []
    for message in conversation:
        mark = message.additional_kwargs.get(METADATA, {})
        if "tokens" in mark and not is_untouched(message):
            kept = {key: value for key, value in mark.items() if key != "tokens"}
            found.append(
                message.model_copy(update={"additional_kwargs": {**message.additional_kwargs, METADATA: kept}})
            )
    return found


def _asked_of_earlier_version(state: State, node: str) -> dict[str, Any]:
    """What was asked in a thread without checksums, in which edits are not looked for."""
    given: Mapping[str, Any] = {**state, **state.get("asked", {})}
    if "clip" not in state or not state.get("conversation") or not given.get("video") or not given.get("actions"):
        raise BadEdit(f"no run of this thread waits before {node}; start one with a video and actions")
    return {name: given.get(name) for name in ("video", "actions", "question", "start", "end")}
