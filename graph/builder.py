"""The state machine: five nodes, one loop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from ..tools.execution.chat_model import Speaker
from ..tools.library import Tool, ToolName
from .nodes.decompose import decompose
from .nodes.fuse import fuse
from .nodes.score import score
from .nodes.tool_exec import chosen, tool_exec
from .nodes.tool_select import tool_select
from .policies.errors import PolicyBusy
from .state import Context, Input, Output, Setup, State

Builder = StateGraph[State, Context, Input, Output]


def build_graph(
    *,
    context: Context | None = None,
    policy: BaseChatModel | None = None,
    speakers: Mapping[ToolName, Speaker] | None = None,
    tools: Mapping[ToolName, Tool] | None = None,
    select_seconds: float = 900.0,
) -> Builder:
    """The uncompiled state machine, for a host that compiles it with its own checkpointer, store and interrupts.

    Args:
        context: Settings for runs that bring none, such as runs inside a parent graph.
        policy: A chat model with tool calling to use whatever the settings name.
        speakers: Chat models that do the work of `describe_video` and `explain_actions`, whatever the settings name.
        tools: Tools of yours in place of the library's of the same name: `dataclasses.replace(tool(name), look=...)`.
        select_seconds: Hard limit of the first node, which reads the video before the policy speaks. The others are
            bounded by the settings' `policy_seconds` and `tool_seconds`.

    Example:
        ```python
        star = build_graph(context=Context(policy="kinematic", frames=8)).compile(checkpointer=InMemorySaver())
        thread = {"configurable": {"thread_id": "1"}}
        out = await star.ainvoke({"video": "clip.mp4", "actions": ["hug", "handshake"]}, thread)
        ```
    """
    setup = Setup(context or Context(), policy, speakers or {}, tools or {})
    builder: Builder = StateGraph(State, context_schema=Context, input_schema=Input, output_schema=Output)
    again = RetryPolicy(max_attempts=3, initial_interval=0.5, retry_on=PolicyBusy)
    builder.add_node("tool_select", partial(tool_select, setup=setup), retry_policy=again, timeout=select_seconds)
    builder.add_node("tool_exec", partial(tool_exec, setup=setup))
    builder.add_node("fuse", partial(fuse, setup=setup))
    builder.add_node("decompose", partial(decompose, setup=setup), retry_policy=again)
    builder.add_node("score", partial(score, setup=setup), retry_policy=again)
    builder.add_edge(START, "tool_select")
    builder.add_conditional_edges("tool_select", _tools_wanted)
    builder.add_edge("tool_exec", "fuse")
    builder.add_conditional_edges("fuse", _next_step)
    builder.add_edge("decompose", "score")
    builder.add_edge("score", END)
    return builder


def _tools_wanted(state: State) -> Literal["tool_exec", "fuse"]:
    return "tool_exec" if chosen(state) else "fuse"


def _next_step(state: State) -> Literal["tool_select", "decompose", "score"]:
    """Another round, or on. The mode without sub-actions has no node of its own: it skips one."""
    if state.get("another_round"):
        return "tool_select"
    return "score" if state["settings"]["mode"] == "no_sub_actions" else "decompose"
