"""The two functions that run the graph once: `recognize` for scripts, `arecognize` for async code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..tools.errors import BadInput, PolicyUnavailable, UnknownTool
from ..tools.library import TOOL_NAMES
from .builder import graph as default_graph
from .candidates import checked_actions
from .concurrency import wait_for as wait_for
from .records.result import Recognition
from .records.trace import append, make
from .state import Context

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

Event = Mapping[str, Any]


async def arecognize(
    video: str | Path,
    actions: Sequence[str],
    *,
    question: str | None = None,
    start: float | None = None,
    end: float | None = None,
    trace: str | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
    graph: CompiledStateGraph[Any, Context, Any, Any] | None = None,
    **context: Any,
) -> Recognition:
    """Recognise the action in a video.

    Args:
        video: Path or address of the video.
        actions: Candidate actions in your own words; one of them is chosen.
        question: What is asked of the video.
        start: Start of the span to look at, in seconds.
        end: End of the span, in seconds.
        trace: Folder to which the run is appended as a record, with its pictures.
        on_event: Called with each node's custom event as it happens.
        graph: Another compiled state machine than the package's own.
        **context: Settings, the fields of `Context`: policy, mode, tools, max_rounds, frames, ...

    Raises:
        BadInput: The video, the actions or a setting cannot be used; nothing was run.
        MissingExtra: The policy needs a package that is not installed.

    A policy that cannot be reached does not raise: the result has status `failed`, its error, and the evidence so far.
    """
    record = await run_record(
        video, actions, question=question, start=start, end=end, on_event=on_event, graph=graph, **context
    )
    if trace is not None:
        await asyncio.to_thread(append, record, Path(trace))
    return Recognition.model_validate(record["recognition"])


def recognize(video: str | Path, actions: Sequence[str], **options: Any) -> Recognition:
    """`arecognize` for code that is not async; takes the same arguments, and works inside a running event loop too.

    Example:
        ```python
        from video_star import recognize

        found = recognize("clip.mp4", ["hug", "handshake", "wave"])
        print(found.action, found.ranking[0].score)
        ```
    """
    return wait_for(arecognize(video, actions, **options))


async def run_record(
    video: str | Path,
    actions: Sequence[str],
    *,
    question: str | None = None,
    start: float | None = None,
    end: float | None = None,
    on_event: Callable[[Event], None] | None = None,
    graph: CompiledStateGraph[Any, Context, Any, Any] | None = None,
    **context: Any,
) -> dict[str, Any]:
    """Run once and return the whole record (see `record.make`); arguments and errors as in `arecognize`."""
    settings = checked_context(context)
    # A string would pass as the list of its letters.
    names = checked_actions(None if actions is None or isinstance(actions, str) else list(actions))
    inputs: Any = {"video": str(video), "actions": names, "question": question, "start": start, "end": end}
    state: dict[str, Any] = {}
    star = graph or default_graph
    part: Any
    try:
        async for part in star.astream(inputs, context=settings, stream_mode=["custom", "values"], version="v2"):
            if part["type"] == "values":
                state = dict(part["data"])
            elif on_event is not None:
                on_event(part["data"])
    except PolicyUnavailable as error:
        state |= {"action": None, "status": "failed", "error": str(error), "error_type": type(error).__name__}
    return make(state, settings)


def checked_context(context: Mapping[str, Any]) -> Context:
    """Settings from keywords.

    Raises:
        UnknownTool: A tool of another name.
        BadInput: Any other setting that is unknown or out of range.
    """
    tools = context.get("tools")
    for name in tools if isinstance(tools, Sequence) and not isinstance(tools, str) else ():
        if name not in TOOL_NAMES:
            raise UnknownTool(f"there is no tool {str(name)[:60]!r}; the tools are {', '.join(TOOL_NAMES)}")
    try:
        return Context.model_validate(context)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        why = f"there is none of that name; there are {', '.join(Context.model_fields)}"
        raise BadInput(f"setting {name}: {why if first['type'] == 'extra_forbidden' else first['msg']}") from None
