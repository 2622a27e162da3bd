"""Third node: joins the evidence to the video and the question, `V (+) F, Q (+) E` (paper, equation 1)."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from ...tools.registry import tool
from ..host import Host, offered_tools
from ..prompts import Request, next_request
from ..rendering import fused_message, with_frames_to_show
from ..state import Context, State
from ..usage import NodeUsage

NODE = "fuse"


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
    runtime.stream_writer(
        {
            "node": NODE,
            "frames": sum(len(item["frames"]) for item in with_frames_to_show(new)),
            "texts": [item["tool"] for item in new if tool(item["tool"]).extends_question],
            "another": another,
            "seconds": round(usage.seconds, 3),
        }
    )
    return {
        # Without tools, the first user message already contains the request.
        "conversation": [fused_message(new, request)] if offered_tools(context) else [],
        **usage.update(),
    }
