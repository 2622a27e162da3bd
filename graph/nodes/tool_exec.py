"""Second node: runs the chosen tools side by side; whatever happens to one becomes evidence, never a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.runtime import Runtime
from pydantic import ValidationError

from ...tools.clip import open_clip
from ...tools.errors import ToolUnavailable, VideoStarError
from ...tools.library import tool
from ...tools.media import default_store
from ...tools.source import VideoAccess
from ..conversation import by_graph
from ..parse import match_label
from ..state import Context, Setup, State, worse
from ..turn import Stopwatch, aside, emit
from .tool_select import fit

NODE = "tool_exec"
MOST_SHOWN: Final = 8
"""Frames with overlays per tool call."""


async def tool_exec(state: State, runtime: Runtime[Context], *, setup: Setup) -> dict[str, Any]:
    """Answer every call of the last turn with one tool message, text only."""
    watch = Stopwatch(NODE, state)
    context = setup.settings(runtime)
    calls = chosen(state)
    found = await asyncio.gather(*(_run(call, state, context, runtime) for call in calls))
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


async def _run(call: Mapping[str, Any], state: State, context: Context, runtime: Runtime[Context]) -> dict[str, Any]:
    """One call as evidence. A tool that is still busy at its limit is left behind; its thread ends on its own."""
    began = time.perf_counter()
    about = state["clip"]
    evidence = {"tool": call["name"], "status": "ok", "start": about["start"], "end": about["end"], "frames": []}
    try:
        async with asyncio.timeout(context.tool_seconds):
            evidence |= await aside(_look, call, state, context, runtime.server_info is not None)
    except TimeoutError:
        evidence |= _unavailable(f"no result within {context.tool_seconds:g} s")
    except Exception as error:
        # Whatever an engine raises must not lose the run.
        evidence |= _unavailable(_why(error, state["video"]))
    evidence["seconds"] = round(time.perf_counter() - began, 4)
    emit(runtime, NODE, **{key: evidence[key] for key in ("tool", "status", "seconds", "summary")})
    return evidence


def _look(call: Mapping[str, Any], state: State, context: Context, served: bool) -> dict[str, Any]:
    one, actions, store = tool(call["name"]), state["actions"], default_store()
    args = one.schema.model_validate(call["args"]).model_dump()
    access = VideoAccess.from_environment(served=served)
    clip = open_clip(state["video"], state["clip"]["start"], state["clip"]["end"], access=access)
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


def _why(error: Exception, video: str) -> str:
    """The error in one line, without the name of the video: names give labels away to the policy."""
    text = str(error) if isinstance(error, VideoStarError | ValidationError) else f"{type(error).__name__}: {error}"
    for name in (video, Path(video).name, Path(video).stem):
        text = text.replace(name, "the video") if name else text
    return " ".join(text.split())[:300]


def _unavailable(why: str) -> dict[str, Any]:
    return {"status": "unavailable", "summary": f"unavailable: {why}", "frames": []}


def _reply(evidence: Mapping[str, Any]) -> str:
    """Text for the tool message: explanations and descriptions are appended to the question by `fuse` instead."""
    if evidence["status"] == "ok" and tool(evidence["tool"]).shown:
        return "done; the text follows in the next message"
    return str(evidence["summary"])
