"""Video-STAR beside another node that writes the same keys of the parent's state in the same step.

Run: `python examples/parallel_siblings.py [VIDEO]`; without a video, the demo clip. LangGraph accepts one value of a
key in a step, and refuses two with InvalidUpdateError. Every key that a sibling writes too needs a reducer in the
parent's state: here `notes`, whose lists are joined, and `error`, of which the first one that is set is kept.
"""

import operator
import sys
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from video_star import Context, build_graph
from video_star.tools.video.source import DEMO_CLIP


def first_set(one: str | None, other: str | None) -> str | None:
    """The first text that is set."""
    return one or other


class ParentState(TypedDict, total=False):
    """What the nodes of the parent graph share."""

    video: str
    actions: list[str]
    action: str | None
    notes: Annotated[list[str], operator.add]
    error: Annotated[str | None, first_set]


def listen(state: ParentState) -> ParentState:
    """A node beside recognition, which examines the sound."""
    return {"notes": ["the sound was not examined"], "error": None}


def main(video: str = str(DEMO_CLIP)) -> None:
    """Recognise the action of a video while another node looks at something else."""
    parent = StateGraph(ParentState)
    parent.add_node("star", build_graph(context=Context(frames=8)).compile())
    parent.add_node("listen", listen)
    for name in ("star", "listen"):
        parent.add_edge(START, name)
        parent.add_edge(name, END)
    result = parent.compile().invoke({"video": video, "actions": ["walk", "run", "hug"]})
    print(f"{result['action']}; notes: {', '.join(result['notes'])}; error: {result['error']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
