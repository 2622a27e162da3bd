"""The state machine: five nodes, one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import Send

from ..tools.errors import PolicyUnavailable
from ..tools.execution.cancellation import run_in_daemon_thread
from ..tools.execution.chat_model import ToolModel
from ..tools.registry import Tool, ToolName
from .concurrency import wait_for
from .edits import FURTHER_ROUND, edits_of, honoured, sealed, starts_run, with_edits
from .host import Host
from .nodes.decompose import decompose
from .nodes.fuse import fuse
from .nodes.score import score
from .nodes.tool_exec import requested_calls, tool_exec
from .nodes.tool_select import tool_select
from .prompts import requested
from .state import Context, HostContext, Input, Output, State

Builder = StateGraph[State, Context, Input, Output]
Work = Callable[..., Awaitable[dict[str, Any]]]


class Node(Runnable[State, dict[str, Any]]):
    """A node for sync and async runs of the graph: the same coroutine in both."""

    def __init__(self, work: Work, host: Host, seconds: float | None = None) -> None:
        """`work(state, runtime, host=host)` is limited to `seconds`; LangGraph's own limit refuses sync runs."""
        self.name: str = work.__name__
        self._work, self._host, self._seconds = work, host, seconds

    def invoke(self, input: State, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """The state update of the node, from sync code."""
        return wait_for(self.ainvoke(input, config, **kwargs))

    async def ainvoke(self, input: State, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """The state update of the node.

        Raises:
            PolicyUnavailable: The node exceeded its time limit.
        """
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                return await self._update(input)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = (
                f"{self.name} did not end within {self._seconds:g} s; raise select_seconds of build_graph, or shorten "
                "the span of the video"
            )
            raise PolicyUnavailable(late, late) from error
        except PolicyUnavailable as error:
            if isinstance(get_runtime(Context).context, HostContext):
                raise
            # Not the words of a server, nor its address: the host finds them in its log, as the cause.
            raise type(error)(error.public, error.public) from error

    async def _update(self, state: State) -> dict[str, Any]:
        """The update of the node, and of edits that a person made before it."""
        changes: dict[str, Any] = {}
        if not starts_run(self.name, state):
            edits = edits_of(state, self.name)
            # What follows from edits may be read from files.
            changes = await run_in_daemon_thread(honoured, state, edits) if edits.edited else honoured(state, edits)
            state = with_edits(state, changes)
        update = await self._work(state, get_runtime(Context), host=self._host)
        return sealed(state, changes, update)


def build_graph(
    *,
    context: Context | None = None,
    policy: BaseChatModel | None = None,
    chat_models: Mapping[ToolName, ToolModel] | None = None,
    tools: Mapping[ToolName, Tool] | None = None,
    allowed_models: Collection[str] | None = None,
    select_seconds: float = 900.0,
) -> Builder:
    """Build the state machine, uncompiled: the host compiles it with its own checkpointer, store and interrupts.

    Args:
        context: Settings for whatever a run does not set, for example as a subgraph of a parent graph.
        policy: Chat model with tool calling that is used whatever the settings name.
        chat_models: Chat models behind `describe_video` and `explain_actions`, whatever the settings name.
        tools: Tools that replace the library's of the same name: `dataclasses.replace(tool(name), run=...)`.
        allowed_models: Models that the caller of the graph may name in the context of a run as policy, describer or
            explainer, written exactly as there; default: those in VIDEO_STAR_ALLOWED_MODELS. The embedded ones and
            those of `context` are always allowed; any other is refused with `ModelNotAllowed`.
        select_seconds: Time limit of the first node, which reads the video before it asks the policy. The other nodes
            are limited by `policy_seconds` and `tool_seconds` of the settings.

    The compiled graph runs sync (`invoke`, `stream`) and async (`ainvoke`, `astream`), alone and in either kind of
    parent graph.

    Example:
        ```python
        star = build_graph(context=Context(policy="kinematic", frames=8)).compile(checkpointer=InMemorySaver())
        thread = {"configurable": {"thread_id": "1"}}
        out = await star.ainvoke({"video": "clip.mp4", "actions": ["hug", "handshake"]}, thread)
        ```
    """
    allowed = None if allowed_models is None else frozenset(allowed_models)
    host = Host(context or Context(), policy, chat_models or {}, tools or {}, allowed)
    builder: Builder = StateGraph(State, context_schema=Context, input_schema=Input, output_schema=Output)
    builder.add_node("tool_select", Node(tool_select, host, select_seconds))
    builder.add_node("tool_exec", Node(tool_exec, host))
    builder.add_node("fuse", Node(fuse, host))
    builder.add_node("decompose", Node(decompose, host))
    builder.add_node("score", Node(score, host))
    builder.add_edge(START, "tool_select")
    builder.add_conditional_edges("tool_select", _tools_wanted)
    builder.add_edge("tool_exec", "fuse")
    builder.add_conditional_edges("fuse", _next_step, ["tool_select", "decompose", "score"])
    builder.add_edge("decompose", "score")
    builder.add_edge("score", END)
    return builder


def _tools_wanted(state: State) -> Literal["tool_exec", "fuse"]:
    return "tool_exec" if requested_calls(state) else "fuse"


def _next_step(state: State) -> Send | str:
    """What the last message requests: more tools, sub-actions, or the answer."""
    request = requested(state["conversation"])
    if request == "choose_more":
        return Send("tool_select", {**state, FURTHER_ROUND: True})
    return "score" if request == "answer" else "decompose"


graph = build_graph().compile(name="video_star")
"""The state machine with default settings, compiled without a checkpointer."""
