"""Second node: runs the chosen tools side by side; whatever happens to one becomes evidence, never a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.runtime import Runtime
from pydantic import ValidationError

from ...tools.errors import ToolUnavailable, VideoStarError
from ...tools.execution.executor import SERVICE
from ...tools.execution.media_store import MediaStore, default_store
from ...tools.library import Tool, ToolName, tool
from ...tools.video.clip import Clip, open_clip
from ...tools.video.source import VideoAccess
from ..candidates import Candidates
from ..prompts import by_graph
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
    speakers = await setup.tool_speakers(context)

    def find(name: ToolName) -> Tool:
        return setup.tools.get(name) or tool(name, speakers.get(name))

    found = await asyncio.gather(*(_run(call, find, state, context, runtime) for call in calls))
    messages = [
        by_graph(ToolMessage(_reply(item), tool_call_id=call["id"], name=call["name"]), NODE)
        for call, item in zip(calls, found, strict=True)
    ]
    failed = [f"{item['tool']} {item['summary']}" for item in found if item["status"] != "ok"]
    for item in found:
        watch.count_tool(item.pop("tokens", {}))
        failed += [f"{item['tool']}: {note}"] if (note := item.pop("note", "")) else []
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


async def _run(
    call: Mapping[str, Any],
    find: Callable[[ToolName], Tool],
    state: State,
    context: Context,
    runtime: Runtime[Context],
) -> dict[str, Any]:
    """One call as evidence. A tool that is still busy at its limit is left behind; its thread ends on its own."""
    began = time.perf_counter()
    about = state["clip"]
    evidence = {"tool": call["name"], "status": "ok", "start": about["start"], "end": about["end"], "frames": []}
    try:
        one = find(call["name"])
        with SERVICE.call(f"{one.name} ({one.engine})", context.tool_seconds):
            async with asyncio.timeout(context.tool_seconds):
                evidence |= await aside(_look, one, call, state, context, runtime.server_info is not None)
    except TimeoutError:
        evidence |= _unavailable(f"no result within {context.tool_seconds:g} s")
    except Exception as error:
        # Whatever an engine raises must not lose the run.
        evidence |= _unavailable(_why(error, state["video"]))
    evidence["seconds"] = round(time.perf_counter() - began, 4)
    emit(runtime, NODE, **{key: evidence[key] for key in ("tool", "status", "seconds", "summary")})
    return evidence


def _look(one: Tool, call: Mapping[str, Any], state: State, context: Context, served: bool) -> dict[str, Any]:
    args, store = one.schema.model_validate(call["args"]).model_dump(), default_store()
    access = VideoAccess.from_environment(served=served)
    clip = open_clip(state["video"], state["clip"]["start"], state["clip"]["end"], access=access)
    span = clip.span(args.get("start"), args.get("end"))
    candidates = Candidates.of(state["actions"])
    which = [label for text in args.get("actions", ()) if (label := candidates.match(text))]
    actions = which or state["actions"]
    # The address too: an error may name it, and names of videos stay with their runs.
    key = (store.root, one.name, one.engine, span.id, span.path, span.start, span.end, *actions, context.pixels)
    spent: dict[str, int] = {}

    def work() -> dict[str, Any]:
        evidence, tokens = _found(one, span, actions, context.pixels, store)
        spent.update(tokens)
        return evidence

    # Of runs that share one piece of work, one has paid for it.
    return {**SERVICE.once(key, work), "tokens": spent}


def _found(
    one: Tool, span: Clip, actions: Sequence[str], pixels: int, store: MediaStore
) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Evidence of one call, and the tokens that it took."""
    try:
        found = one.look(span, actions, MOST_SHOWN)
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        # An engine that wants to end the program, or whose loop was ended, must not end ours.
        raise ToolUnavailable(f"the tool ended with {type(error).__name__}") from error
    if not found.summary.strip():
        raise ToolUnavailable("the tool returned no text")
    summary, shown = found.summary, []
    try:
        for seconds, image in found.frames:
            shown.append({"url": store.put_image(fit(image, pixels)), "time": round(seconds, 3)})
    except OSError as error:
        # A full disk costs the pictures, not what was found.
        summary, shown = f"{summary}\nIts pictures could not be kept: {error.strerror or error}.", []
    where = {"start": round(span.start, 3), "end": round(span.end, 3), "frames": shown}
    return {"summary": summary, **where, "note": found.note}, found.tokens


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
