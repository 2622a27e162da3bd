"""Schemas of the graph: input, output, settings, and the state of a run. Plain JSON and messages, no pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Required

from langchain_core.messages import AnyMessage
from langgraph.channels import EphemeralValue
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

# Before Python 3.12, pydantic makes no schema for typing.TypedDict, and Studio no form.
from typing_extensions import TypedDict

from ..tools.registry import TOOL_NAMES, ToolName, default_tools

Mode = Literal["agentic", "static", "no_tools", "no_sub_actions"]
Status = Literal["ok", "degraded", "failed"]
EMBEDDED_ENGINE: Final = "embedded"
"""Name of the engine of `describe_video` and `explain_actions` that uses no chat model."""
MAX_FRAMES: Final = 48
"""Most frames that the policy sees."""
MAX_SECONDS: Final = 3600.0
"""Longest time limit, in seconds, of a policy turn or a tool call."""


class _Settings(BaseModel):
    """Named settings; an unknown one is refused by its name."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, given: Any) -> Any:
        for name in given if isinstance(given, Mapping) else ():
            if name not in cls.model_fields:
                raise PydanticCustomError(
                    "unknown_setting",
                    "there is no setting {name}; the settings are {known}",
                    {"known": ", ".join(cls.model_fields), "name": repr(str(name)[:60])},
                )
        return given


class _Properties(dict[str, Any]):
    """The properties of the settings in their JSON schema.

    A LangGraph server silently drops whatever is not `in` them from the context of a run, a misspelt setting for
    example. Only its own names, which it copies from `configurable`, are not `in` them; the rest is validated.
    """

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or not str(name).startswith(_NAMES_OF_SERVER)


_NAMES_OF_SERVER: Final = ("__", "langgraph_", "thread_", "checkpoint_", "run_", "graph_", "assistant_", "cron_")


class Price(_Settings):
    """Price of a policy's tokens, per million tokens."""

    input: float = Field(ge=0, le=1e6, description="Price of one million input tokens, images included.")
    output: float = Field(ge=0, le=1e6, description="Price of one million output tokens.")
    cached: float | None = Field(
        default=None,
        ge=0,
        le=1e6,
        description="Price of one million input tokens that the server reads from its cache. Default: as input.",
    )
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$", description="Three-letter currency code (ISO 4217).")

    def of(self, tokens: Mapping[str, int]) -> float:
        """The price of `tokens`: counts of `input` and `output` tokens, and of `cached` input tokens if known."""
        cached = tokens.get("cached", 0)
        cached_price = self.input if self.cached is None else self.cached
        full = tokens["input"] - cached
        return (full * self.input + cached * cached_price + tokens["output"] * self.output) / 1e6


class Context(_Settings):
    """Settings of a run, shown as a form in Studio. Defaults follow the paper where it states a value."""

    policy: str = Field(
        default="kinematic",
        description="Model that chooses the tools, names the sub-actions and scores the candidates. 'kinematic' is "
        "built in and needs no model: it applies rules to what the tools measure. A chat model is written "
        "provider:model, for example openai:gpt-4.1.",
        json_schema_extra={"langgraph_nodes": ["tool_select", "decompose", "score"]},
    )
    mode: Mode = Field(
        default="agentic",
        description="agentic: the policy chooses tools. static: every tool is run. no_tools: the policy sees the "
        "frames only. no_sub_actions: tools are used, and the answer is given without sub-actions. The last three are "
        "the ablations of the paper.",
    )
    tools: list[ToolName] = Field(
        default_factory=default_tools,
        description="Tools the policy may call. detect_objects needs an engine that finds objects, such as yolo26n.",
        json_schema_extra={"langgraph_nodes": ["tool_select"], "default": list(TOOL_NAMES)},
    )
    describer: str = Field(
        default=EMBEDDED_ENGINE,
        description="Model behind the tool describe_video. 'embedded' applies rules to the measured motion. A vision "
        "model is written like a policy, for example dashscope:qwen-vl-max.",
        json_schema_extra={"langgraph_nodes": ["tool_exec"]},
    )
    explainer: str = Field(
        default=EMBEDDED_ENGINE,
        description="Model behind the tool explain_actions, used for labels without an entry in the knowledge base. "
        "'embedded' uses the most similar entries. A chat model is written like a policy, for example "
        "dashscope:qwen-plus.",
        json_schema_extra={"langgraph_nodes": ["tool_exec"]},
    )
    max_rounds: int = Field(default=1, ge=1, le=5, description="Maximum number of rounds of tool calls (paper: 1).")
    frames: int = Field(
        default=16,
        ge=2,
        le=MAX_FRAMES,
        description="Maximum number of frames the policy sees, sampled at two per second (paper: 4 to 16).",
    )
    pixels: int = Field(
        default=128 * 28 * 28,
        ge=28 * 28,
        le=2048 * 2048,
        description="Maximum number of pixels per frame; larger frames are scaled down (paper: 128 patches of 28x28).",
    )
    policy_seconds: float = Field(
        default=120.0, gt=0, le=MAX_SECONDS, description="Time limit of one policy turn, in seconds."
    )
    tool_seconds: float = Field(
        default=60.0, gt=0, le=MAX_SECONDS, description="Time limit of one tool call, in seconds."
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="Sampling temperature of the policy.")
    seed: int = Field(default=0, ge=0, description="Sampling seed of the policy, for models that accept a seed.")
    structured: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Constrained decoding. auto: each turn follows a grammar if the policy supports grammars (vllm, "
        "transformers). always: in addition, other policies are forced to call the tool where their API allows it. "
        "never: unconstrained output, as in training.",
    )
    reasoning: int = Field(
        default=1000,
        ge=1,
        le=20000,
        description="Maximum number of characters of free reasoning in one turn constrained by a grammar.",
    )
    price: Price | None = Field(
        default=None,
        description="Price of the policy's tokens, used to compute the cost of the run. Without a price, the cost is "
        "the one the provider reports, if it reports one.",
    )

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """The JSON schema, from which a LangGraph server takes the names of the settings."""
        schema = super().model_json_schema(*args, **options)
        return {**schema, "properties": _Properties(schema["properties"])}


class HostContext(Context):
    """Settings made by the host itself, as by `recognize`: they may name any model.

    A served caller sends JSON, which becomes a plain `Context`.
    """


class Input(TypedDict, total=False):
    """A video, the candidate actions, and optionally a question and a time span.

    It is kept for the first node only, which copies it to `asked` of the state: a later run on the same thread does
    not inherit it.
    """

    video: Required[
        Annotated[str, Field(description="Video file: a path, or a file:// or http(s):// URL."), EphemeralValue]
    ]
    actions: Required[
        Annotated[list[str], Field(description="Candidate actions in your own words; one is chosen."), EphemeralValue]
    ]
    question: Annotated[
        str | None,
        Field(description="Question about the video. Default: What is the action in this video?"),
        EphemeralValue,
    ]
    start: Annotated[
        float | None,
        Field(description="Start of the time span, in seconds. Default: the beginning."),
        EphemeralValue,
    ]
    end: Annotated[
        float | None,
        Field(description="End of the time span, in seconds. Default: the end of the video."),
        EphemeralValue,
    ]


class Output(TypedDict):
    """The answer and what supports it."""

    action: Annotated[str | None, Field(description="The chosen action; null if the run failed.")]
    confidence: Annotated[
        float | None, Field(description="Probability in 0..1 that the action is right; null if it was not calibrated.")
    ]
    calibrated_on: Annotated[
        str | None, Field(description="Data on which the confidence was calibrated; null without a confidence.")
    ]
    ranking: Annotated[
        list[dict[str, Any]],
        Field(description="Every candidate with a score in 0..1, best first; scores are no probabilities."),
    ]
    sub_actions: Annotated[
        list[dict[str, Any]], Field(description="Ranked sub-actions: weight, candidates, scores from 0 to 10.")
    ]
    evidence: Annotated[list[dict[str, Any]], Field(description="One entry per tool call: status, seconds, summary.")]
    status: Annotated[
        Status,
        Field(description="ok; degraded: something failed or the answer lacks support, see notes; failed: no answer."),
    ]
    notes: Annotated[list[str], Field(description="What failed or was corrected, and what the answer lacks.")]
    error: Annotated[str | None, Field(description="Why the run failed, in words; null if it did not fail.")]
    error_type: Annotated[str | None, Field(description="Class of the error; null if the run did not fail.")]
    usage: Annotated[dict[str, Any], Field(description="Policy calls, tokens, cost, and seconds per node.")]


class State(Input, Output):
    """Everything that is kept of a run. Pixels are `media://` references into the media store."""

    conversation: Annotated[list[AnyMessage], add_messages]
    asked: dict[str, Any]
    """video, actions, question, start and end as the input gave them; None where it did not."""
    settings: dict[str, Any]
    """The `Context` of the run."""
    clip: dict[str, Any]
    """id, width, height, fps, duration, start, end, note."""
    frames: list[dict[str, Any]]
    """The frames that the policy sees: {url, time in seconds}."""
    rounds: int
    """Rounds of tool selection so far."""
    timings: list[dict[str, Any]]
    """{node, start, seconds}; start is in seconds since the beginning of the run."""
    began: float
    """Unix time of the beginning of the run."""
    seals: dict[str, int]
    """Checksums of what a person cannot edit while the run waits (see `edits`)."""


def worst(*statuses: Status) -> Status:
    """The worst of several statuses."""
    return max(statuses, key=("ok", "degraded", "failed").index)
