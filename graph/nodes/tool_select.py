"""First node: the policy sees the frames and the candidates, and chooses tools, each on a time span, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, ToolCall
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from ...tools.errors import BadActions, BadInput, VideoNotFound
from ...tools.execution.cancellation import run_in_daemon_thread
from ...tools.execution.media_store import default_store
from ...tools.video.clip import Clip, open_clip
from ...tools.video.source import VideoAccess
from ..candidates import checked_actions
from ..edits import checked_question, starts_run
from ..frames import policy_frames
from ..host import Host, offered_tools, tool_schemas
from ..policies.grammar import choice_form
from ..policies.token_limit import is_cut
from ..prompts import Request, by_graph, next_request, opening, plain
from ..replies.errors import MalformedReply
from ..replies.tool_calls import MAX_CALLS, normalize_calls, validated_calls
from ..state import Context, State, Status, worst
from ..turn import Turn, form_for
from ..usage import NodeUsage

NODE = "tool_select"


async def tool_select(state: State, runtime: Runtime[Context], *, host: Host) -> dict[str, Any]:
    """Start a run or a further round, and take the policy's choice of tools."""
    context = host.settings(runtime)
    usage = NodeUsage(NODE, state, context.price)
    policy = await host.policy_for(context)
    # An unknown describer or explainer is reported before any tool runs.
    await host.chat_models_for(context)
    fresh = starts_run(NODE, state)
    before: list[AnyMessage] = []
    update: dict[str, Any] = {}
    missing: list[str] = []
    if fresh:
        update, before, missing = await run_in_daemon_thread(_start, state, context, runtime.server_info is not None)
    conversation = [*(() if fresh else state["conversation"]), *before]
    replies, notes, status = await _choose(policy, context, conversation, usage)
    last = replies[-1] if replies else None
    runtime.stream_writer(
        {
            "node": NODE,
            "tools": [call["name"] for call in last.tool_calls] if isinstance(last, AIMessage) else [],
            "text": last.text if last else "",
            "seconds": round(usage.seconds, 3),
        }
    )
    new = [*before, *replies]
    return {
        **update,
        "conversation": Overwrite(new) if fresh else new,
        "rounds": (0 if fresh else state["rounds"]) + 1,
        "notes": [*(missing if fresh else state["notes"]), *notes],
        "status": worst(status, ("degraded" if missing else "ok") if fresh else state["status"]),
        **usage.update(fresh=fresh),
    }


def _start(state: State, context: Context, served: bool) -> tuple[dict[str, Any], list[AnyMessage], list[str]]:
    """Check the input and read the frames: the state update, the first messages, and notes on what is missing."""
    asked = _asked(state)
    access = VideoAccess.from_environment(served=served)
    clip = open_clip(asked["video"], asked["start"], asked["end"], access=access)
    note = "; ".join(filter(None, (clip.info.note, clip.frames().note)))
    missing = [f"the video could not be read whole: {note}"] if note else []
    try:
        frames = policy_frames(clip, context.frames, context.pixels, default_store())
    except OSError as error:
        # On a full disk the policy gets no images, but the run continues: tools read the frames from memory.
        frames = []
        missing.append(f"the policy sees no frames, because they could not be saved: {error.strerror or error}")
        note = "; ".join(filter(None, (note, "its frames cannot be shown")))
    described = _describe(clip, note)
    request: Request = "choose" if offered_tools(context) else next_request(context.mode != "no_sub_actions")
    update = {
        "asked": asked,
        "settings": context.model_dump(),
        "clip": described,
        "frames": frames,
        "evidence": [],
        "sub_actions": [],
        "ranking": [],
        "action": None,
        "confidence": None,
        "calibrated_on": None,
        "error": None,
        "error_type": None,
    }
    return update, opening(asked["actions"], asked["question"], described, frames, request), missing


def _asked(state: State) -> dict[str, Any]:
    """The input of the run, checked.

    Raises:
        BadActions, BadInput: A part is missing or cannot be used.
    """
    for name, error in (("actions", BadActions), ("video", VideoNotFound)):
        if state.get(name) is None:
            raise error(
                f"no {name} given; give a video and actions to every run, also on a thread with earlier runs, and in "
                "an edit before tool_select"
            )
    return {
        "video": str(state["video"]),
        "actions": checked_actions(state["actions"]),
        "question": checked_question(state.get("question"), BadInput),
        "start": state.get("start"),
        "end": state.get("end"),
    }


def _describe(clip: Clip, note: str) -> dict[str, Any]:
    """The clip as the state keeps it."""
    return {
        "id": clip.id,
        "width": clip.info.width,
        "height": clip.info.height,
        "fps": round(clip.info.fps, 3),
        "duration": round(clip.info.duration, 3),
        "start": round(clip.start, 3),
        "end": round(clip.end, 3),
        "note": note,
    }


async def _choose(
    policy: BaseChatModel, context: Context, conversation: Sequence[AnyMessage], usage: NodeUsage
) -> tuple[list[AnyMessage], list[str], Status]:
    """The messages of this round, notes, and the status; static mode calls all tools without asking the policy."""
    names = offered_tools(context)
    if not names:
        return [], [], "ok"
    if context.mode == "static":
        calls = [ToolCall(name=name, args={}, id=f"call_{uuid4().hex[:12]}") for name in names]
        return [by_graph(AIMessage("", tool_calls=calls), NODE)], [], "ok"
    form = form_for(policy, context, choice_form, names)
    turn = Turn(policy, usage, context.policy_seconds, tool_schemas(context), form)
    parsed = await turn.ask_for(
        conversation, lambda reply: _calls(reply, names), lambda reply: normalize_calls(reply, names)
    )
    reply = parsed.replies[-1]
    if parsed.value is None:
        usable = [*parsed.corrected, _without_bad_calls(reply, names)]
        return usable, [f"the tool calls could not be used: {parsed.problems[-1]}"], "degraded"
    notes = [f"tool calls corrected once: {problem}" for problem in parsed.problems]
    return [*parsed.corrected, reply if parsed.value else plain(reply)], notes, "ok"


def _calls(reply: AIMessage, names: Sequence[str]) -> list[dict[str, Any]]:
    """The calls of a reply, or none.

    Raises:
        MalformedReply: A call is invalid, or the reply was cut off before any call.
    """
    calls = validated_calls(reply, names)
    if not calls and is_cut(reply):
        raise MalformedReply("it was cut off before any tool call")
    return calls


def _without_bad_calls(reply: AIMessage, names: Sequence[str]) -> AIMessage:
    """The reply with only the tool calls that can run: most servers reject a call without a result."""
    kept = [call for call in reply.tool_calls if call["name"] in names][:MAX_CALLS]
    return plain(reply).model_copy(update={"tool_calls": kept})
