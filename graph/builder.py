"""The state machine: five nodes, one loop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from ..tools.errors import PolicyBusy
from ..tools.execution.chat_model import ToolModel
from ..tools.library import Tool, ToolName
from .host import Host
from .nodes.decompose import decompose
from .nodes.fuse import fuse
from .nodes.score import score
from .nodes.tool_exec import requested_calls, tool_exec
from .nodes.tool_select import tool_select
from .state import Context, Input, Output, State

Builder = StateGraph[State, Context, Input, Output]


def build_graph(
    *,
    context: Context | None = None,
    policy: BaseChatModel | None = None,
    chat_models: Mapping[ToolName, ToolModel] | None = None,
    tools: Mapping[ToolName, Tool] | None = None,
    select_seconds: float = 900.0,
) -> Builder:
    """Build the state machine, uncompiled: the host compiles it with its own checkpointer, store and interrupts.

    Args:
        context: Settings for whatever a run does not set, for example as a subgraph of a parent graph.
        policy: Chat model with tool calling that is used whatever the settings name.
        chat_models: Chat models behind `describe_video` and `explain_actions`, whatever the settings name.
        tools: Tools that replace the library's of the same name: `dataclasses.replace(tool(name), run=...)`.
        select_seconds: Time limit of the first node, which reads the video before it asks the policy. The other nodes
            are limited by `policy_seconds` and `tool_seconds` of the settings.

    Example:
        ```python
        star = build_graph(context=Context(policy="kinematic", frames=8)).compile(checkpointer=InMemorySaver())
        thread = {"configurable": {"thread_id": "1"}}
        out = await star.ainvoke({"video": "clip.mp4", "actions": ["hug", "handshake"]}, thread)
        ```
    """
    host = Host(context or Context(), policy, chat_models or {}, tools or {})
    builder: Builder = StateGraph(State, context_schema=Context, input_schema=Input, output_schema=Output)
    retry = RetryPolicy(max_attempts=3, initial_interval=0.5, retry_on=PolicyBusy)
    builder.add_node("tool_select", partial(tool_select, host=host), retry_policy=retry, timeout=select_seconds)
    builder.add_node("tool_exec", partial(tool_exec, host=host))
    builder.add_node("fuse", partial(fuse, host=host))
    builder.add_node("decompose", partial(decompose, host=host), retry_policy=retry)
    builder.add_node("score", partial(score, host=host), retry_policy=retry)
    builder.add_edge(START, "tool_select")
    builder.add_conditional_edges("tool_select", _tools_wanted)
    builder.add_edge("tool_exec", "fuse")
    builder.add_conditional_edges("fuse", _next_step)
    builder.add_edge("decompose", "score")
    builder.add_edge("score", END)
    return builder


def _tools_wanted(state: State) -> Literal["tool_exec", "fuse"]:
    return "tool_exec" if requested_calls(state) else "fuse"


def _next_step(state: State) -> Literal["tool_select", "decompose", "score"]:
    """Another round of tools, or the next node; the mode `no_sub_actions` skips decompose."""
    if state.get("another_round"):
        return "tool_select"
    return "score" if state["settings"]["mode"] == "no_sub_actions" else "decompose"


graph = build_graph().compile(name="video_star")
"""The state machine with default settings, compiled without a checkpointer."""
