"""Second node: runs the chosen tools side by side; whatever happens to one becomes evidence, never a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.runtime import Runtime
from pydantic import ValidationError

from ...tools.clip import Clip, open_clip
from ...tools.errors import ToolUnavailable, VideoStarError
from ...tools.library import tool
from ...tools.media import MediaStore, default_store
from ...tools.source import VideoAccess
from ..conversation import by_graph
from ..parse import match_label
from ..state import Context, Setup, State, worse
from ..turn import Stopwatch, emit
from .tool_select import fit

NODE = "tool_exec"
MOST_SHOWN: Final = 8
"""Frames with overlays per tool call."""


async def tool_exec(state: State, runtime: Runtime[Context], *, setup: Setup) -> dict[str, Any]:
    """Answer every call of the last turn with one tool message, text only."""
    watch = Stopwatch(NODE, state)
    context = setup.settings(runtime)
    access = VideoAccess.from_environment(served=runtime.server_info is not None)
    clip = await asyncio.to_thread(
        open_clip, state["video"], state["clip"]["start"], state["clip"]["end"], access=access
    )
    calls = chosen(state)
    found = await asyncio.gather(*(_run(call, clip, state["actions"], context) for call in calls))
    for item in found:
        emit(runtime, NODE, **{key: item[key] for key in ("tool", "status", "seconds", "summary")})
    messages = [
        by_graph(ToolMessage(_reply(item), tool_call_id=call["id"], name=call["name"]), NODE)
        for call, item in zip(calls, found, strict=True)
    ]
    failed = [f"{item['tool']} {item['summary']}" for item in found if item["status"] != "ok"]
    return {
        "conversation": messages,
        "evidence": [*state["evidence"], *({**item, "round": state["rounds"]} for item in found)],
        "notes": [*state["notes"], *failed],
        "status": worse(state["status"], "degraded" if failed else "ok"),
        **watch.update(),
    }


def chosen(state: State) -> list[dict[str, Any]]:
    """The tool calls of the last turn of the conversation."""
    last = state["conversation"][-1]
    return [dict(call) for call in last.tool_calls] if isinstance(last, AIMessage) else []


async def _run(call: Mapping[str, Any], clip: Clip, actions: Sequence[str], context: Context) -> dict[str, Any]:
    """One call as evidence. A tool that is still busy at its limit is left behind; its thread ends on its own."""
    began = time.perf_counter()
    evidence: dict[str, Any] = {
        "tool": call["name"],
        "status": "ok",
        "start": clip.start,
        "end": clip.end,
        "frames": [],
    }
    try:
        async with asyncio.timeout(context.tool_seconds):
            evidence |= await asyncio.to_thread(_look, call, clip, actions, context, default_store())
    except TimeoutError:
        evidence |= _unavailable(f"no result within {context.tool_seconds:g} s")
    except (VideoStarError, ValidationError) as error:
        evidence |= _unavailable(str(error).replace("\n", " ")[:300])
    except Exception as error:
        # Whatever an engine raises must not lose the run; the type says where to look.
        evidence |= _unavailable(f"{type(error).__name__}: {str(error)[:300]}")
    return {**evidence, "seconds": round(time.perf_counter() - began, 4)}


def _look(
    call: Mapping[str, Any], clip: Clip, actions: Sequence[str], context: Context, store: MediaStore
) -> dict[str, Any]:
    one = tool(call["name"])
    args = one.schema().model_validate(call["args"]).model_dump()
    span = clip.span(args.get("start"), args.get("end"))
    which = [label for text in args.get("actions", ()) if (label := match_label(text, actions))]
    found = one.look(span, which or actions, MOST_SHOWN)
    if not found.summary.strip():
        raise ToolUnavailable("the tool returned no text")
    shown = [
        {"url": store.put_image(fit(image, context.pixels)), "time": round(seconds, 3)}
        for seconds, image in found.frames
    ]
    return {"summary": found.summary, "start": round(span.start, 3), "end": round(span.end, 3), "frames": shown}


def _unavailable(why: str) -> dict[str, Any]:
    return {"status": "unavailable", "summary": f"unavailable: {why}", "frames": []}


def _reply(evidence: Mapping[str, Any]) -> str:
    """Text for the tool message: explanations and descriptions are appended to the question by `fuse` instead."""
    if evidence["status"] == "ok" and tool(evidence["tool"]).shown:
        return "done; the text follows in the next message"
    return str(evidence["summary"])
