"""Runs of the graph: `recognize` for scripts, `arecognize` for async code, `run_record` for the whole record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..tools.errors import BadInput, PolicyUnavailable, UnknownTool
from ..tools.registry import ALL_NAMES, OBJECTS, has_objects
from .builder import graph as default_graph
from .candidates import checked_actions
from .concurrency import finished, wait_for
from .records.result import Recognition
from .records.trace import append, make
from .state import Context, HostContext

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
        video: Path or URL of the video.
        actions: Candidate actions in your own words; one of them is chosen.
        question: Question about the video; default: "What is the action in this video?".
        start: Start of the time span, in seconds; default: the beginning.
        end: End of the time span, in seconds; default: the end of the video.
        trace: Folder to which the record of the run and its images are added.
        on_event: Called with the custom events of the nodes as they occur.
        graph: A compiled graph to use instead of the default one.
        **context: Settings, the fields of `Context`: policy, mode, tools, max_rounds, frames, ...

    Returns:
        The result. If the policy fails, no error is raised: the status is `failed`, and `error`, `error_type` and the
        evidence gathered so far are set.

    Raises:
        BadInput: The video, the actions or a setting cannot be used.
        MissingExtra: The policy needs a package that is not installed.
    """
    record = await run_record(
        video, actions, question=question, start=start, end=end, on_event=on_event, graph=graph, **context
    )
    if trace is not None:
        await finished(asyncio.to_thread(append, record, Path(trace)))
    return Recognition.model_validate(record["recognition"])


def recognize(video: str | Path, actions: Sequence[str], **options: Any) -> Recognition:
    """`arecognize` for sync code, with the same arguments; also works while an event loop is running.

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
    """Run the graph once and return the whole record (see `records.trace.make`); arguments as in `arecognize`."""
    settings = checked_context(context)
    names = checked_actions(actions)
    inputs: Any = {"video": str(video), "actions": names, "question": question, "start": start, "end": end}
    state: dict[str, Any] = {}
    part: Any
    try:
        async for part in (graph or default_graph).astream(
            inputs, context=settings, stream_mode=["custom", "values"], version="v2"
        ):
            if part["type"] == "values":
                state = dict(part["data"])
            elif on_event is not None:
                on_event(part["data"])
    except PolicyUnavailable as error:
        state |= {"action": None, "status": "failed", "error": str(error), "error_type": type(error).__name__}
    return make(state, settings)


def checked_context(context: Mapping[str, Any]) -> HostContext:
    """The settings of the host, validated.

    Raises:
        UnknownTool: There is no tool of a given name.
        BadInput: Another setting is unknown or out of range.
    """
    tools = context.get("tools")
    for name in tools if isinstance(tools, Sequence) and not isinstance(tools, str) else ():
        if name not in ALL_NAMES:
            raise UnknownTool(f"there is no tool {str(name)[:60]!r}; the tools are {', '.join(ALL_NAMES)}")
        if name == OBJECTS and not has_objects():
            raise BadInput(
                f"the engine does not find objects; set VIDEO_STAR_VISION, for example to yolo26n, or drop {OBJECTS}"
            )
    try:
        return HostContext.model_validate(context)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"setting {name}: {first['msg']}" if name else first["msg"]) from None
