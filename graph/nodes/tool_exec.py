"""Second node: runs the tool calls concurrently; a tool that fails becomes evidence and does not end the run."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.runtime import Runtime
from pydantic import ValidationError

from ...tools.errors import ToolUnavailable, VideoStarError
from ...tools.execution.cancellation import run_in_daemon_thread
from ...tools.execution.executor import EXECUTOR
from ...tools.execution.media_store import MediaStore, default_store
from ...tools.registry import Tool, ToolName
from ...tools.video.clip import Clip, open_clip
from ...tools.video.source import VideoAccess
from ..candidates import Candidates
from ..frames import scaled_down
from ..host import TOOL_LIMIT, Host
from ..prompts import by_graph
from ..rendering import reply_text
from ..replies.labels import label_texts
from ..state import Context, HostContext, State, worst
from ..usage import NodeUsage

NODE = "tool_exec"
MAX_FRAMES: Final = 8
"""Frames with overlays per tool call."""


async def tool_exec(state: State, runtime: Runtime[Context], *, host: Host) -> dict[str, Any]:
    """Answer every tool call of the last reply with one tool message, which is text only."""
    usage = NodeUsage(NODE, state)
    context = host.settings(runtime)
    calls = requested_calls(state)
    chat_models = await host.chat_models_for(context)

    def find(name: ToolName) -> Tool:
        return host.tool(name, chat_models)

    found = await asyncio.gather(*(_run(call, find, state, context, runtime) for call in calls))
    messages = [
        by_graph(ToolMessage(reply_text(item), tool_call_id=call["id"], name=call["name"]), NODE)
        for call, item in zip(calls, found, strict=True)
    ]
    failed = []
    for item in found:
        usage.add_tool_tokens(item.pop("tokens", {}))
        note, details = item.pop("note", ""), item.pop("details", "")
        if details and isinstance(runtime.context, HostContext):
            note = f"{note} ({details})"
        if item["status"] != "ok":
            failed.append("; ".join(filter(None, (f"{item['tool']} {item['summary']}", note))))
        elif note:
            failed.append(f"{item['tool']}: {note}")
    return {
        "conversation": messages,
        "evidence": [*state["evidence"], *({**item, "round": state["rounds"]} for item in found)],
        "notes": [*state["notes"], *failed],
        "status": worst(state["status"], "degraded" if failed else "ok"),
        **usage.update(),
    }


def requested_calls(state: State) -> list[dict[str, Any]]:
    """The tool calls of the last message of the conversation."""
    last = state["conversation"][-1] if state["conversation"] else None
    return [dict(call) for call in last.tool_calls] if isinstance(last, AIMessage) else []


async def _run(
    call: Mapping[str, Any],
    find: Callable[[ToolName], Tool],
    state: State,
    context: Context,
    runtime: Runtime[Context],
) -> dict[str, Any]:
    """One call as evidence. A tool that exceeds its time limit is cancelled."""
    start = time.perf_counter()
    clip = state["clip"]
    evidence = {"tool": call["name"], "status": "ok", "start": clip["start"], "end": clip["end"], "frames": []}
    try:
        one = find(call["name"])
        async with EXECUTOR.time_limited(f"{one.name} ({one.engine})", context.tool_seconds):
            evidence |= await run_in_daemon_thread(_look, one, call, state, context, runtime.server_info is not None)
    except TimeoutError:
        # The remedy is for whoever runs this, not for the policy.
        evidence |= {**_unavailable(f"no result within {context.tool_seconds:g} s"), "note": f"raise {TOOL_LIMIT}"}
    except Exception as error:
        # No error of an engine may end the run.
        evidence |= _unavailable(_reason(error, state["asked"]["video"]))
    evidence["seconds"] = round(time.perf_counter() - start, 4)
    event = {key: evidence[key] for key in ("tool", "status", "seconds", "summary")}
    runtime.stream_writer({"node": NODE, **event})
    return evidence


def _look(one: Tool, call: Mapping[str, Any], state: State, context: Context, served: bool) -> dict[str, Any]:
    """The result of one call; identical calls of concurrent runs share one execution."""
    options, store = one.schema.model_validate(call["args"]).model_dump(), default_store()
    access = VideoAccess.from_environment(served=served)
    clip = open_clip(state["asked"]["video"], state["clip"]["start"], state["clip"]["end"], access=access)
    span = clip.span(options.pop("start", None), options.pop("end", None))
    asked = state["asked"]["actions"]
    candidates = Candidates.of(asked)
    given = [part for text in options.pop("actions", ()) for part in label_texts(text, candidates)]
    named = list(dict.fromkeys(label for text in given if (label := candidates.match(text))))
    actions = named or asked
    chosen = {name: value for name, value in sorted(options.items()) if value}
    # Hosts may replace the function of a tool. A chat model behind it is told apart by the name of the engine.
    run = one.run.func if isinstance(one.run, partial) else one.run
    where = (span.id, span.start, span.end)
    key = (store.root, one.name, one.engine, id(run), *where, repr(chosen), *actions, context.pixels)
    spent: dict[str, int] = {}

    def work() -> dict[str, Any]:
        evidence, tokens = _found(one, span, actions, chosen, context.pixels, store)
        spent.update(tokens)
        return evidence

    # The tokens of a shared execution are counted once, in the run that started it.
    return {**EXECUTOR.run_once(key, work), "tokens": spent}


def _found(
    one: Tool, span: Clip, actions: Sequence[str], options: Mapping[str, Any], pixels: int, store: MediaStore
) -> tuple[dict[str, Any], Mapping[str, int]]:
    """The evidence of one call, and the tokens that it used."""
    try:
        found = one.run(span, actions, MAX_FRAMES, **options)
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        # An engine that raises SystemExit, or whose event loop was stopped, must not end this process.
        raise ToolUnavailable(f"the tool ended with {type(error).__name__}") from error
    if not found.summary.strip():
        raise ToolUnavailable("the tool returned no text")
    summary, shown = found.summary, []
    try:
        for seconds, image in found.frames:
            shown.append({"url": store.put_image(scaled_down(image, pixels)), "time": round(seconds, 3)})
    except OSError as error:
        # On a full disk the images are lost, but not the result.
        summary, shown = f"{summary}\nIts pictures could not be kept: {error.strerror or error}.", []
    where = {"start": round(span.start, 3), "end": round(span.end, 3), "frames": shown}
    measured = {"measured": dict(found.measured)} if found.measured else {}
    return {"summary": summary, **where, **measured, "note": found.note, "details": found.details}, found.tokens


def _reason(error: Exception, video: str) -> str:
    """The error on one line, without the name of the video, which may reveal the label to the policy."""
    own = isinstance(error, VideoStarError | ValidationError)
    text = _without_name(str(error) if own else f"{type(error).__name__}: {error}", video, whole_words=not own)
    return " ".join(text.split())[:300]


def _without_name(text: str, video: str, *, whole_words: bool) -> str:
    """The text with "the video" for its path and file name; words and numbers that merely equal the name stay.

    Args:
        text: An error message.
        video: Path or URL of the video.
        whole_words: The name without suffix is also replaced where it stands as a word, in messages of other libraries;
            the project's own never use it so.
    """
    stem = re.escape(Path(video).stem)
    names = {re.escape(name) for name in (video, Path(video).name) if re.search(r"[./\\]", name)}
    # The stem as part of another file name: in quotes, after a folder, or before another suffix.
    names |= {rf"(?<=[/\\'\"]){stem}(?=[/\\'\".])", rf"{stem}(?=\.[A-Za-z])"} if stem else set()
    if whole_words and len(Path(video).stem) > 2 and not Path(video).stem.isdecimal():
        names.add(stem)
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){name}(?!\w)", "the video", text)
    return text


def _unavailable(reason: str) -> dict[str, Any]:
    return {"status": "unavailable", "summary": f"unavailable: {reason}", "frames": []}
