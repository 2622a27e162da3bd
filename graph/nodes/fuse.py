"""Third node: joins the evidence to the video and the question, `V (+) F, Q (+) E` (paper, equation 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langgraph.runtime import Runtime

from ...tools.library import tool
from ..host import Host, offered_tools
from ..prompts import Request, fused, next_request
from ..state import Context, State
from ..usage import NodeUsage

NODE = "fuse"
OVERLAYS: Final = ("track_motion", "estimate_pose", "detect_people")
"""Tools with overlays. Each draws what the next one draws, so the first one's frames are enough for a time span."""


async def fuse(state: State, runtime: Runtime[Context], *, host: Host) -> dict[str, Any]:
    """Add the user message with the evidence and the next request."""
    usage = NodeUsage(NODE, state)
    context = host.settings(runtime)
    new = [item for item in state["evidence"] if item["round"] == state["rounds"] and item["status"] == "ok"]
    another = (
        context.mode in ("agentic", "no_sub_actions")
        and state["rounds"] < context.max_rounds
        and any(item["round"] == state["rounds"] for item in state["evidence"])
    )
    request: Request = "choose_more" if another else next_request(context.mode != "no_sub_actions")
    texts = [(item["tool"], item["summary"]) for item in new if tool(item["tool"]).extends_question]
    shown = [(item["tool"], item["frames"]) for item in with_frames_to_show(new)]
    runtime.stream_writer(
        {
            "node": NODE,
            "frames": sum(len(frames) for _, frames in shown),
            "texts": [name for name, _ in texts],
            "another": another,
            "seconds": round(usage.seconds, 3),
        }
    )
    return {
        # Without tools, the first user message already contains the request.
        "conversation": [fused(texts, shown, request)] if offered_tools(context) else [],
        "another_round": another,
        **usage.update(),
    }


def with_frames_to_show(evidence: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The evidence whose frames are shown to the policy: one overlay per time span, and all frames without overlay."""
    drawn: dict[tuple[float, float], Mapping[str, Any]] = {}
    for name in OVERLAYS:
        for item in evidence:
            if item["tool"] == name and item["frames"]:
                drawn.setdefault((item["start"], item["end"]), item)
    return [item for item in evidence if item["frames"] and (item["tool"] not in OVERLAYS or item in drawn.values())]
