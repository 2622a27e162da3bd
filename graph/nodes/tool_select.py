"""First node: the policy sees frames and candidates and chooses tools, each on a span of its own, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import uuid4

import numpy as np
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, ToolCall
from langgraph.runtime import Runtime
from langgraph.types import Overwrite
from PIL import Image

from ...tools.execution.media_store import MediaStore, default_store
from ...tools.video.clip import Clip, open_clip
from ...tools.video.source import VideoAccess
from ..candidates import checked_actions
from ..policies.grammar import choice_form
from ..prompts import LONGEST_REPEATED, Request, by_graph, correction, next_request, opening, plain
from ..replies.errors import MalformedReply
from ..replies.tool_calls import MAX_CALLS, normalize_calls, validated_calls
from ..state import Context, Setup, State, Status, offered, run_tools, worse
from ..turn import Stopwatch, emit, held, speak

NODE = "tool_select"
FRAMES_PER_SECOND = 2.0
"""How densely the policy sees the video, up to `Context.frames` (the paper's setting)."""
FEWEST_FRAMES = 4


async def tool_select(state: State, runtime: Runtime[Context], *, setup: Setup) -> dict[str, Any]:
    """Begin a run or a further round, and take the policy's choice of tools."""
    context = setup.settings(runtime)
    watch = Stopwatch(NODE, state, context.price)
    policy = await setup.speaker(context)
    # A describer that does not exist is to be known before anything is looked at.
    await setup.tool_speakers(context)
    fresh = not state.get("another_round")
    before: list[AnyMessage] = []
    update: dict[str, Any] = {}
    missing: list[str] = []
    if fresh:
        update, before, missing = await asyncio.to_thread(_begin, state, context, runtime.server_info is not None)
    so_far = [*(() if fresh else state["conversation"]), *before]
    said, notes, status = await _choose(policy, so_far, context, watch)
    last = said[-1] if said else None
    calls = last.tool_calls if isinstance(last, AIMessage) else []
    emit(
        runtime,
        NODE,
        tools=[call["name"] for call in calls],
        said=last.text if last else "",
        seconds=round(watch.seconds, 3),
    )
    new = [*before, *said]
    return {
        **update,
        "conversation": Overwrite(new) if fresh else new,
        "rounds": (0 if fresh else state["rounds"]) + 1,
        "notes": [*(missing if fresh else state["notes"]), *notes],
        "status": worse("degraded" if missing else "ok", status) if fresh else worse(state["status"], status),
        **watch.update(fresh=fresh),
    }


def _begin(state: State, context: Context, served: bool) -> tuple[dict[str, Any], list[AnyMessage], list[str]]:
    """Check the input, read the frames the policy will see, and open the conversation; the last is what is missing."""
    actions = checked_actions(state.get("actions"))
    access = VideoAccess.from_environment(served=served)
    clip = open_clip(str(state.get("video") or ""), state.get("start"), state.get("end"), access=access)
    told, missing = clip.frames().note, []
    try:
        frames = look(clip, context, default_store())
    except OSError as error:
        # A full disk costs the policy its pictures, not the run: tools look at the frames in memory.
        frames, missing = [], [f"the policy sees no frames, they could not be kept: {error.strerror or error}"]
        told = "; ".join(filter(None, (told, "its frames cannot be shown")))
    about = {
        "id": clip.id,
        "width": clip.info.width,
        "height": clip.info.height,
        "fps": round(clip.info.fps, 3),
        "duration": round(clip.info.duration, 3),
        "start": round(clip.start, 3),
        "end": round(clip.end, 3),
        "note": told,
    }
    request: Request = "choose" if offered(context) else next_request(context.mode != "no_sub_actions")
    update = {
        "actions": actions,
        "settings": context.model_dump(),
        "clip": about,
        "frames": frames,
        "evidence": [],
        "sub_actions": [],
        "ranking": [],
        "action": None,
        "error": None,
    }
    return update, opening(actions, state.get("question"), about, frames, request), missing


def look(clip: Clip, context: Context, store: MediaStore) -> list[dict[str, Any]]:
    """Frames for the policy, picked from those the tools look at, so that the video is decoded once."""
    frames = _looked(clip, context.frames, context.pixels, store)
    if not all(store.holds(frame["url"]) for frame in frames):
        _looked.cache_clear()
        frames = _looked(clip, context.frames, context.pixels, store)
    return [dict(frame) for frame in frames]


@lru_cache(maxsize=64)
def _looked(clip: Clip, most: int, pixels: int, store: MediaStore) -> tuple[dict[str, Any], ...]:
    seen = clip.frames()
    wanted = int(np.clip(round((clip.end - clip.start) * FRAMES_PER_SECOND), min(FEWEST_FRAMES, most), most))
    picked = np.unique(np.linspace(0, len(seen.times) - 1, min(wanted, len(seen.times))).round().astype(int))
    return tuple(
        {"url": store.put_image(fit(seen.images[i], pixels)), "time": round(float(seen.times[i]), 3)} for i in picked
    )


def fit(image: np.ndarray, pixels: int) -> np.ndarray:
    """The (height, width, 3) image, made smaller where it has more than `pixels` pixels."""
    height, width = image.shape[:2]
    ratio = (pixels / (height * width)) ** 0.5
    if ratio >= 1:
        return image
    size = max(1, int(width * ratio)), max(1, int(height * ratio))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


async def _choose(
    policy: BaseChatModel, so_far: Sequence[AnyMessage], context: Context, watch: Stopwatch
) -> tuple[list[AnyMessage], list[str], Status]:
    """The turns of this round, notes, and whether the choice was lost: all tools in static mode, none without tools."""
    names = offered(context)
    if not names:
        return [], [], "ok"
    if context.mode == "static":
        calls = [ToolCall(name=name, args={}, id=f"call_{uuid4().hex[:12]}") for name in names]
        return [by_graph(AIMessage("", tool_calls=calls), NODE)], [], "ok"
    schemas = run_tools(context)
    form = held(policy, context, choice_form, names)
    reply = normalize_calls(await speak(policy, so_far, watch, context.policy_seconds, schemas, form), names)
    try:
        return [reply if validated_calls(reply, names) else plain(reply)], [], "ok"
    except MalformedReply as wrong:
        asked = correction(str(wrong), NODE)
        turns: list[AnyMessage] = [plain(reply, LONGEST_REPEATED), asked]
        again = await speak(policy, [*so_far, *turns], watch, context.policy_seconds, schemas, form)
        again = normalize_calls(again, names)
        try:
            said = again if validated_calls(again, names) else plain(again)
            return [*turns, said], [f"tool choice corrected once: {wrong}"], "ok"
        except MalformedReply as still:
            return [*turns, _without_bad_calls(again, names)], [f"tool choice could not be used: {still}"], "degraded"


def _without_bad_calls(message: AIMessage, offered: Sequence[str]) -> AIMessage:
    """The turn with only the calls that can run: a call without a reply is refused by most servers."""
    kept = [call for call in message.tool_calls if call["name"] in offered][:MAX_CALLS]
    return plain(message).model_copy(update={"tool_calls": kept})
