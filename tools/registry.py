"""The tool library: tools with one interface, from a clip and the candidates to text and frames with overlays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

import numpy as np
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model

from .arguments import listed_names, names, seconds, yes_or_no
from .errors import BadInput, BadWeights, MissingExtra, ToolModelFailed, UnknownTool, VideoStarError
from .execution.cancellation import run_in_daemon_thread
from .execution.result_cache import cached, cached_text
from .video.clip import ANALYSIS_RATE, Clip, open_clip
from .video.reader import read_frames
from .vision.engines import EMBEDDED, engine, engine_name

if TYPE_CHECKING:
    from .drawing.annotators import Layers
    from .execution.chat_model import ToolModel
    from .motion.motion_result import Motion
    from .video.reader import Frames
    from .vision.hands import Hands
    from .vision.objects import Objects
    from .vision.people import People
    from .vision.pose import Poses

ToolName = Literal[
    "detect_people", "estimate_pose", "track_motion", "explain_actions", "describe_video", "detect_objects"
]
ALL_NAMES: Final[tuple[ToolName, ...]] = get_args(ToolName)
OBJECTS: Final[ToolName] = "detect_objects"
"""The tool that only engines with an object detector have."""
TOOL_NAMES: Final[tuple[ToolName, ...]] = ALL_NAMES[:-1]
"""The tools of every engine."""

Start = Annotated[
    float | None,
    BeforeValidator(seconds),
    Field(description="Start of the span in seconds; leave out for the whole clip."),
]
End = Annotated[
    float | None,
    BeforeValidator(seconds),
    Field(description="End of the span in seconds; leave out for the whole clip."),
]
LookAtHands = Annotated[
    bool,
    BeforeValidator(yes_or_no),
    Field(description="Also look at hands and fingers; done anyway unless whole people are in view."),
]
Video = Annotated[str, Field(description="Path or address of the video.")]
Which = Annotated[
    list[str], BeforeValidator(names), Field(description="Which candidate actions to explain; leave out for all.")
]
Explained = Annotated[
    list[str], BeforeValidator(listed_names), Field(min_length=1, description="The actions to explain.")
]

FINE_RATE: Final = 16.0
"""Frames per second in which objects are tracked: a fall of one metre lasts seven frames."""
FINE_LIMIT: Final = 96
"""Most fine frames of one span."""
FINE_SIDE: Final = 320
"""Long side of fine frames in pixels."""
PEOPLE_VERSION: Final = "people 2"
"""Version of what is made of an engine's detections: part of the cache keys of people and poses."""
MOTION_VERSION: Final = "10"
"""Version of the motion measurement: part of its cache key."""
HANDS_VERSION: Final = "mediapipe-hands-2"
"""Model and version of the hand estimator: part of its cache key."""

_SPAN: Final = {"start": (Start, None), "end": (End, None)}
_SPAN_AND_HANDS: Final = {**_SPAN, "hands": (LookAtHands, False)}


@dataclass(frozen=True)
class Finding:
    """The result of one tool call."""

    summary: str
    """Text for the policy, with times in seconds."""
    result: Any
    """The typed result: `People`, `Poses`, `Motion`, `Explanations` or `Description`."""
    frames: tuple[tuple[float, np.ndarray], ...] = ()
    """Frames for the policy, with overlays or as they are: (seconds, (height, width, 3) uint8 RGB)."""
    measured: Mapping[str, Any] | None = None
    """Measurements as plain JSON for the evidence: `tools.motion.motion_result.Measurements`."""
    note: str = ""
    """Why the embedded engine replaced the chat model, or which frames it lacks; empty if nothing failed."""
    details: str = ""
    """What the chat model or its server said then, for the host alone."""
    tokens: Mapping[str, int] = field(default_factory=dict)
    """`input` and `output` tokens of the chat model; empty if none was called."""


@dataclass(frozen=True)
class Tool:
    """One tool that a policy can call."""

    name: ToolName
    description: str
    run: Callable[..., Finding]
    """Called in a thread with the clip, the actions and the most frames to return; other arguments that a policy gave
    follow by keyword."""
    args: Mapping[str, Any]
    """Type and default of each argument by name, besides the video."""
    extends_question: bool = False
    """Whether the summary is appended to the question (T_a, T_v) rather than returned as the tool message."""
    engine: str = EMBEDDED.name
    """The engine or chat model that does the work: part of every cache key."""

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The arguments that a policy may give."""
        return _schema(self.name, self.description, self.args)


def tool(name: str, chat_model: ToolModel | None = None) -> Tool:
    """One tool.

    Args:
        name: One of `ALL_NAMES`.
        chat_model: The chat model behind `explain_actions` or `describe_video`; other tools ignore it. If it fails,
            the embedded engine replaces it, and the finding says so.

    Raises:
        UnknownTool: No tool has that name.
    """
    try:
        one = library()[name]
    except KeyError:
        raise UnknownTool(f"there is no tool {name!r}; the tools are {', '.join(ALL_NAMES)}") from None
    with_chat_model = {"explain_actions": _explain_actions, "describe_video": _describe_video}
    if chat_model is None or name not in with_chat_model:
        # The same object keeps its schema, which takes milliseconds to create.
        return one if (name := engine_name()) == one.engine else replace(one, engine=name)
    return replace(one, engine=chat_model.engine, run=partial(with_chat_model[name], chat_model=chat_model))


def watches(name: str) -> bool:
    """Whether a tool looks at the video; tools of others are taken to do so."""
    return name not in library() or "start" in library()[name].args


def langchain_tool(name: str, chat_model: ToolModel | None = None) -> BaseTool:
    """A tool of the library for any LangChain agent; arguments as for `tool`.

    Besides its own arguments it takes a video. It returns the summary as content and the typed result as artifact. An
    error answers a tool call of an agent as a message with status `error`; called with plain arguments, it is raised.

    Raises:
        UnknownTool: No tool has that name.
    """
    one = tool(name, chat_model)

    def run(video: str, start: float | None = None, end: float | None = None, **options: Any) -> tuple[str, Any]:
        found = one.run(open_clip(video, start, end), (), 0, **options)
        return found.summary, found.result

    def explain(actions: list[str]) -> tuple[str, Any]:
        from .knowledge.explain import explain_actions

        explained = explain_actions(actions, chat_model=chat_model)
        return explained.summary(), explained

    takes_video = watches(one.name)
    args = {"video": (Video, ...), **one.args} if takes_video else {"actions": (Explained, ...)}
    work: Callable[..., tuple[str, Any]] = run if takes_video else explain

    async def cancellable(**given: Any) -> tuple[str, Any]:
        # In a thread that ends its work when the agent is cancelled, unlike those of LangChain.
        return await run_in_daemon_thread(partial(work, **given))

    return _AgentTool.from_function(
        work,
        cancellable,
        name=one.name,
        description=one.description,
        args_schema=_schema(one.name, one.description, args),
        response_format="content_and_artifact",
    )


class _AgentTool(StructuredTool):
    """A tool whose failure answers a model's tool call with an error message, instead of ending the agent."""

    def run(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """As in `BaseTool`."""
        try:
            return super().run(*args, tool_call_id=tool_call_id, **kwargs)
        except Exception as error:
            return self._failed(error, tool_call_id)

    async def arun(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """As in `BaseTool`."""
        try:
            return await super().arun(*args, tool_call_id=tool_call_id, **kwargs)
        except Exception as error:
            return self._failed(error, tool_call_id)

    def _failed(self, error: Exception, tool_call_id: str | None) -> ToolMessage:
        """The error as a message; raised if no model called, or if LangChain words it (arguments of a wrong type)."""
        if tool_call_id is None or isinstance(error, ValidationError):
            raise error
        text = str(error) if isinstance(error, VideoStarError) else f"{type(error).__name__}: {error}"
        return ToolMessage(f"Error: {text}", tool_call_id=tool_call_id, name=self.name, status="error")


def _schema(name: str, description: str, args: Mapping[str, Any]) -> type[BaseModel]:
    return create_model(name, __doc__=description, **args)


@lru_cache(maxsize=1)
def library() -> Mapping[str, Tool]:
    """All tools by name."""
    tools = (
        Tool(
            "detect_people",
            "Find the people in the video: how many, where, from when to when, how large.",
            _detect_people,
            _SPAN,
        ),
        Tool(
            "estimate_pose",
            "Estimate 17 body joints of each person over time: posture, joint angles, where the hands are, distances "
            "between people.",
            _estimate_pose,
            _SPAN_AND_HANDS,
        ),
        Tool(
            "track_motion",
            "Measure movement over time: of bodies (speed, direction, steps, swings, turning, contact, approach), of "
            "things on a table or in a hand (which way, nearer or away, lifted, put down, falling, meeting, parting), "
            "of the camera; how often it repeats, and in which order it happened.",
            _track_motion,
            _SPAN_AND_HANDS,
        ),
        Tool(
            "explain_actions",
            "Explain candidate actions: definition by phases, typical sub-actions, how to tell similar ones apart.",
            _explain_actions,
            {"actions": (Which, Field(default_factory=list))},
            extends_question=True,
        ),
        Tool(
            "describe_video",
            "Describe the video in words and pick the frames in which most changes.",
            _describe_video,
            _SPAN,
            extends_question=True,
        ),
        Tool(
            OBJECTS,
            "Find objects other than people, such as a ball, racket, cup, phone, bicycle or horse: where, from when to "
            "when, and near whose hand.",
            _detect_objects,
            _SPAN,
        ),
    )
    return {tool.name: tool for tool in tools}


def default_tools() -> list[ToolName]:
    """The tools that the configured engine has."""
    return [*TOOL_NAMES, *((OBJECTS,) if has_objects() else ())]


def has_objects() -> bool:
    """Whether the configured engine finds objects other than people; False if it cannot be used."""
    try:
        return engine().objects is not None
    except (BadWeights, MissingExtra):
        return False


def _detect_people(clip: Clip, actions: Sequence[str], max_frames: int) -> Finding:
    from .drawing.annotators import PeopleAnnotator

    people = people_of(clip)
    return Finding(people.summary(), people, _overlays(clip, people.boxes, [(PeopleAnnotator(), people)], max_frames))


def _estimate_pose(clip: Clip, actions: Sequence[str], max_frames: int, hands: bool = False) -> Finding:
    poses, found = poses_of(clip), hands_of(clip, hands)
    summary = "\n".join([poses.summary(), *([] if found is None else [found.summary()])])
    return Finding(summary, poses, _overlays(clip, _boxes(poses, found), body_layers(clip, found), max_frames))


def _track_motion(clip: Clip, actions: Sequence[str], max_frames: int, hands: bool = False) -> Finding:
    from .drawing.annotators import TrailAnnotator

    poses, found, motion = poses_of(clip), hands_of(clip, hands), motion_of(clip, hands)
    layers = [*body_layers(clip, found), (TrailAnnotator(), poses)]
    frames = _overlays(clip, _boxes(poses, found), layers, max_frames)
    return Finding(motion.summary(), motion, frames, motion.measurements().to_json(), note=_unread(motion))


def _explain_actions(
    clip: Clip, actions: Sequence[str], max_frames: int, chat_model: ToolModel | None = None
) -> Finding:
    from .knowledge.explain import explain_actions

    explained = explain_actions(actions, chat_model=chat_model)
    return Finding(
        explained.summary(),
        explained,
        note=explained.why,
        details=explained.details,
        tokens=explained.tokens,
    )


def _describe_video(
    clip: Clip, actions: Sequence[str], max_frames: int, chat_model: ToolModel | None = None
) -> Finding:
    from .describe import describe_in_place_of, describe_video, describe_with

    frames, unread = clip.frames(), ""
    if chat_model is None:
        motion = motion_of(clip)
        described, unread = describe_video(frames, motion), _unread(motion)
    else:
        try:
            described = describe_with(chat_model, frames, _span(clip))
        except ToolModelFailed as failure:
            motion = motion_of(clip)
            described, unread = describe_in_place_of(chat_model, failure, frames, motion), _unread(motion)
    shown = tuple((float(frames.times[i]), frames.images[i]) for i in described.salient[:max_frames])
    return Finding(
        described.summary(),
        described,
        shown,
        note="; ".join(filter(None, (described.why, unread))),
        details=described.details,
        tokens=described.tokens,
    )


def _unread(motion: Motion) -> str:
    """The note on frames that the measurement lacks."""
    return f"objects were not tracked in all frames: {motion.note}" if motion.note else ""


def _detect_objects(clip: Clip, actions: Sequence[str], max_frames: int) -> Finding:
    from .drawing.annotators import ObjectAnnotator

    found = found_objects(clip)
    layers = [*body_layers(clip, None), (ObjectAnnotator(), found)]
    return Finding(found.summary(poses_of(clip)), found, _overlays(clip, found.boxes, layers, max_frames))


def found_objects(clip: Clip) -> Objects:
    """The objects of a clip, cached.

    Raises:
        BadInput: The engine finds people only.
    """
    from .vision.objects import Objects, detect_objects

    if (detector := engine().objects) is None:
        raise BadInput(
            f"{OBJECTS} needs an engine that finds objects, and {engine_name()} finds people only; set "
            "VIDEO_STAR_VISION, for example to yolo26n"
        )
    return cached(("Objects", *_key(clip), "objects"), Objects, lambda: detect_objects(clip.frames(), detector))


def body_layers(clip: Clip, hands: Hands | None) -> Layers:
    """What to draw of the people of a clip: their skeletons, and those of hands that were looked for."""
    from .drawing.annotators import HandAnnotator, PoseAnnotator

    return [(PoseAnnotator(), poses_of(clip)), *([(HandAnnotator(), hands)] if hands else [])]


def people_of(clip: Clip) -> People:
    """The people of a clip, cached."""
    from .vision.people import People, detect_people

    return cached(
        ("People", *_key(clip), PEOPLE_VERSION),
        People,
        lambda: detect_people(clip.frames(), engine().detector),
    )


def poses_of(clip: Clip) -> Poses:
    """The poses of a clip, cached; without the bodies that are invented where hands fill the picture."""
    from .vision.hands import beside_hands

    poses, hands = _found_poses(clip), hands_of(clip)
    return poses if hands is None else beside_hands(poses, hands)


def hands_of(clip: Clip, asked: bool = False) -> Hands | None:
    """The hands of a clip, cached; None if whole people are seen in most frames, unless hands are asked for."""
    from .vision.hands import Hands, estimate_hands, rarely_whole
    from .vision.mediapipe_hands import MEDIAPIPE_HANDS

    poses = _found_poses(clip)
    if not (asked or rarely_whole(poses)):
        return None
    key = ("Hands", *_key(clip), HANDS_VERSION)
    return cached(key, Hands, lambda: estimate_hands(clip.frames(), poses, MEDIAPIPE_HANDS))


def _found_poses(clip: Clip) -> Poses:
    from .vision.pose import Poses, estimate_pose

    return cached(
        ("Poses", *_key(clip), PEOPLE_VERSION), Poses, lambda: estimate_pose(clip.frames(), engine().estimator)
    )


def motion_of(clip: Clip, hands: bool = False) -> Motion:
    """The motion in a clip, cached; `hands` as in `hands_of`."""
    from .motion.measure_motion import measure_motion
    from .motion.motion_result import Motion

    found = hands_of(clip, hands)

    def compute() -> str:
        return measure_motion(poses_of(clip), clip.frames(), fine_frames(clip), found).to_json()

    version = MOTION_VERSION if found is None else f"{MOTION_VERSION} {HANDS_VERSION}"
    return Motion.from_json(cached_text(("Words", *_key(clip), "motion", version), compute))


def fine_frames(clip: Clip) -> Frames | None:
    """Small, closely spaced frames for object tracking; None if `clip.frames` already has every frame."""
    if clip.info.fps and clip.info.fps <= ANALYSIS_RATE:
        return None
    count = int(np.clip(round((clip.end - clip.start) * FINE_RATE), 4, FINE_LIMIT))
    times = clip.start + (np.arange(count) + 0.5) * (clip.end - clip.start) / count
    return read_frames(clip.path, times, max_side=FINE_SIDE, size=clip.info.size)


def _key(clip: Clip) -> tuple[object, ...]:
    return *_span(clip), engine_name()


def _span(clip: Clip) -> tuple[object, ...]:
    return clip.id, round(clip.start, 3), round(clip.end, 3)


def _boxes(poses: Poses, hands: Hands | None) -> np.ndarray:
    """(n, 4) boxes of people and hands."""
    return poses.boxes if hands is None else np.concatenate([poses.boxes, hands.boxes])


def _overlays(clip: Clip, boxes: np.ndarray, layers: Layers, max_frames: int) -> tuple[tuple[float, np.ndarray], ...]:
    """Up to `max_frames` evenly spaced frames with overlays, cropped to the boxes of what was found."""
    from .drawing.annotators import annotated

    if max_frames < 1:
        return ()
    frames = clip.frames()
    indices = np.unique(np.linspace(0, len(frames.times) - 1, min(max_frames, len(frames.times))).round().astype(int))
    x0, y0, x1, y1 = _region(boxes * frames.scale, frames.images.shape[2], frames.images.shape[1])
    return tuple(
        (float(frames.times[i]), annotated(frames.images[i], layers, int(i), frames.scale)[y0:y1, x0:x1])
        for i in indices
    )


def _region(boxes: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """The region that contains the boxes, with a margin of 10 %; the whole frame if there are none."""
    if not len(boxes):
        return 0, 0, width, height
    (x0, y0), (x1, y1) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    margin = 0.1 * max(x1 - x0, y1 - y0)
    low = np.clip((x0 - margin, y0 - margin), 0, (width - 2, height - 2)).astype(int)
    high = np.clip((x1 + margin, y1 + margin), low + 2, (width, height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
