"""Video-STAR as a node of a parent graph.

Run: `python examples/subgraph.py [VIDEO]`; without a video, the demo clip. The two graphs share the state keys that
have the same name: the parent provides `video` and `actions` and reads `action` and `ranking`.
"""

import asyncio
import sys
from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from video_star import Context, build_graph
from video_star.tools.video.source import DEMO_CLIP


class ParentState(TypedDict, total=False):
    """What the nodes of the parent graph share."""

    video: str
    actions: list[str]
    action: str | None
    ranking: list[dict[str, Any]]
    caption: str


def caption(state: ParentState) -> ParentState:
    """A node after recognition, which uses its result."""
    score = state["ranking"][0]["score"]
    return {"caption": f"A video of the action '{state['action']}' (score {score:.2f})."}


def main(video: str = str(DEMO_CLIP)) -> None:
    """Recognise the action of a video and caption it."""
    star = build_graph(context=Context(frames=8)).compile()
    parent = StateGraph(ParentState)
    parent.add_node("star", star)
    parent.add_node("caption", caption)
    parent.add_edge(START, "star")
    parent.add_edge("star", "caption")
    parent.add_edge("caption", END)
    result = asyncio.run(parent.compile().ainvoke({"video": video, "actions": ["walk", "run", "hug"]}))
    print(result["caption"])


if __name__ == "__main__":
    main(*sys.argv[1:])
