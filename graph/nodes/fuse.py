"""Third node: joins what the tools found to the video and the question, `V (+) F, Q (+) E` (paper, equation 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langgraph.runtime import Runtime

from ...tools.library import tool
from ..prompts import Request, fused, next_request
from ..state import Context, Setup, State, offered
from ..turn import Stopwatch, emit

NODE = "fuse"
DRAWN_BY: Final = ("track_motion", "estimate_pose", "detect_people")
"""Tools that draw, each drawing what the next draws too: of one span, the first one's frames are enough."""


async def fuse(state: State, runtime: Runtime[Context], *, setup: Setup) -> dict[str, Any]:
    """Add the user turn with evidence and the next request."""
    watch = Stopwatch(NODE, state)
    context = setup.settings(runtime)
    new = [item for item in state["evidence"] if item["round"] == state["rounds"] and item["status"] == "ok"]
    another = (
        context.mode in ("agentic", "no_sub_actions")
        and state["rounds"] < context.max_rounds
        and any(item["round"] == state["rounds"] for item in state["evidence"])
    )
    request: Request = "choose_more" if another else next_request(context.mode != "no_sub_actions")
    texts = [(item["tool"], item["summary"]) for item in new if tool(item["tool"]).shown]
    shown = [(item["tool"], item["frames"]) for item in worth_showing(new)]
    emit(
        runtime,
        NODE,
        frames=sum(len(frames) for _, frames in shown),
        texts=[name for name, _ in texts],
        another=another,
        seconds=round(watch.seconds, 3),
    )
    return {
        # Without tools the opening turn has asked already.
        "conversation": [fused(texts, shown, request)] if offered(context) else [],
        "another_round": another,
        **watch.update(),
    }


def worth_showing(evidence: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The evidence whose frames the policy gets: one drawing per span, and every picked frame."""
    drawn: dict[tuple[float, float], Mapping[str, Any]] = {}
    for name in DRAWN_BY:
        for item in evidence:
            if item["tool"] == name and item["frames"]:
                drawn.setdefault((item["start"], item["end"]), item)
    return [item for item in evidence if item["frames"] and (item["tool"] not in DRAWN_BY or item in drawn.values())]
