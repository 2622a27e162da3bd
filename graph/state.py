"""What goes into a run, what is kept while it runs, and what comes out: plain JSON and messages only, no pixels."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Required

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage
from langgraph.channels import EphemeralValue
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from pydantic import BaseModel, ConfigDict, Field

# Of typing's own, before Python 3.12, pydantic makes no schema, and Studio no form.
from typing_extensions import TypedDict

from ..tools.errors import UnknownPolicy
from ..tools.execution.chat_model import Speaker
from ..tools.library import TOOL_NAMES, Tool, ToolName
from .policies.registry import EMBEDDED, resolve_policy
from .prompts import tool_schema

Mode = Literal["agentic", "static", "no_tools", "no_sub_actions"]
Status = Literal["ok", "degraded", "failed"]
BY_RULES: Final = "embedded"
"""Names the engine of `describe_video` and `explain_actions` that asks no model."""
SPEAKER_SHARE: Final = 0.7
"""Of a tool's time, what its chat model may take; the rest is for the embedded engine, if the model fails."""


class Price(BaseModel):
    """What a policy's tokens cost, per million."""

    model_config = ConfigDict(extra="forbid")

    input: float = Field(ge=0, le=1e6, description="Of input tokens, pictures among them.")
    output: float = Field(ge=0, le=1e6, description="Of output tokens.")
    cached: float | None = Field(
        default=None, ge=0, le=1e6, description="Of input tokens that the server has in its cache; as input if unset."
    )
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$", description="Three letters, as in ISO 4217.")

    def of(self, tokens: Mapping[str, int]) -> float:
        """The price of `tokens`: input, output, and how many of the input were cached, if known."""
        cached = tokens.get("cached", 0)
        cheaper = self.input if self.cached is None else self.cached
        return ((tokens["input"] - cached) * self.input + cached * cheaper + tokens["output"] * self.output) / 1e6


class Context(BaseModel):
    """Settings of a run: the form that Studio shows. Defaults are the paper's where it gives one."""

    model_config = ConfigDict(extra="forbid")

    policy: str = Field(
        default="kinematic",
        description="The model that chooses tools, decomposes and scores. 'kinematic' is embedded: rules over what the "
        "tools measure. A chat model is named provider:model, as in openai:gpt-4.1.",
        json_schema_extra={"langgraph_nodes": ["tool_select", "decompose", "score"]},
    )
    mode: Mode = Field(
        default="agentic",
        description="agentic: the policy chooses tools. static: all tools, always. no_tools: frames only. "
        "no_sub_actions: tools, then straight to an answer. The last three are the paper's ablations.",
    )
    tools: list[ToolName] = Field(
        default=list(TOOL_NAMES),
        description="The tools on offer.",
        json_schema_extra={"langgraph_nodes": ["tool_select"]},
    )
    describer: str = Field(
        default=BY_RULES,
        description="Who writes describe_video. embedded: rules over what moved. Or a vision model, named as a policy "
        "is: dashscope:qwen-vl-max.",
        json_schema_extra={"langgraph_nodes": ["tool_exec"]},
    )
    explainer: str = Field(
        default=BY_RULES,
        description="Who writes explain_actions for labels that the knowledge base has no entry for. embedded: the "
        "nearest entries. Or a chat model, named as a policy is: dashscope:qwen-plus.",
        json_schema_extra={"langgraph_nodes": ["tool_exec"]},
    )
    max_rounds: int = Field(
        default=1, ge=1, le=5, description="How often the policy may choose tools; the paper chooses once."
    )
    frames: int = Field(
        default=16,
        ge=2,
        le=48,
        description="Most frames the policy sees; two per second up to this many (paper: 4 to 16).",
    )
    pixels: int = Field(
        default=128 * 28 * 28,
        ge=28 * 28,
        le=2048 * 2048,
        description="Most pixels of one frame (paper: 128 patches of 28x28).",
    )
    policy_seconds: float = Field(
        default=120.0, gt=0, le=3600, description="Time limit of one policy turn, in seconds."
    )
    tool_seconds: float = Field(default=60.0, gt=0, le=3600, description="Time limit of one tool call, in seconds.")
    temperature: float = Field(default=0.0, ge=0, le=2, description="Sampling temperature of the policy.")
    seed: int = Field(default=0, ge=0, description="Seed of the policy's sampling, where the model takes one.")
    structured: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Hold each turn to its form. auto: by grammar, with the policies that take one (vllm, "
        "transformers). always: elsewhere, too, as far as a forced call goes. never: free speech, as in training.",
    )
    reasoning: int = Field(
        default=1000, ge=1, le=20000, description="Most characters of free reasoning in one structured turn."
    )
    price: Price | None = Field(
        default=None,
        description="What the policy's tokens cost, to have the cost of the run in its result. It is your own figure, "
        "because prices change. Without it, the cost is what the provider reports, if it reports one.",
    )


class Input(TypedDict, total=False):
    """A video, the candidate actions, and optionally a question and a span."""

    video: Required[Annotated[str, Field(description="Path, file:// or http(s):// address of the video.")]]
    actions: Required[Annotated[list[str], Field(description="Candidate actions, in your own words; one is chosen.")]]
    question: Annotated[str | None, Field(description="What is asked of the video; a default question where absent.")]
    start: Annotated[float | None, Field(description="Start of the span to look at, in seconds.")]
    end: Annotated[float | None, Field(description="End of the span to look at, in seconds.")]


class Output(TypedDict):
    """The answer and what supports it."""

    action: Annotated[str | None, Field(description="The chosen action; null when the run failed.")]
    ranking: Annotated[list[dict[str, Any]], Field(description="Every candidate with its score in 0..1, best first.")]
    sub_actions: Annotated[
        list[dict[str, Any]], Field(description="Ranked sub-actions: weight, candidates, scores 0..10.")
    ]
    evidence: Annotated[list[dict[str, Any]], Field(description="One entry per tool call: status, seconds, summary.")]
    status: Annotated[Status, Field(description="ok; degraded: something failed and is noted; failed: no answer.")]
    notes: Annotated[list[str], Field(description="What went wrong or was corrected on the way.")]
    error: Annotated[str | None, Field(description="Why the run failed: type and message.")]
    usage: Annotated[dict[str, Any], Field(description="Policy calls, tokens, cost, and seconds by node.")]


class State(Input, Output):
    """Everything a run keeps. Pixels are `media://` references into the media store."""

    conversation: Annotated[list[AnyMessage], add_messages]
    settings: dict[str, Any]
    """The `Context` this run began with."""
    clip: dict[str, Any]
    """id, width, height, fps, duration, start, end, note."""
    frames: list[dict[str, Any]]
    """What the policy sees: {url, time in seconds}."""
    rounds: int
    """Rounds of tool selection taken."""
    timings: list[dict[str, Any]]
    """{node, start, seconds}, seconds since the run began."""
    began: float
    """Unix time at which the run began."""
    another_round: Annotated[bool, EphemeralValue]
    """Set by fuse for the very next step only, so that a new run on an old thread starts afresh."""


@dataclass(frozen=True)
class Setup:
    """What a host fixes when it builds the graph."""

    context: Context
    """Settings where the run brings none of its own."""
    policy: BaseChatModel | None = None
    """The policy to use whatever the settings name; None to go by the settings."""
    speakers: Mapping[ToolName, Speaker] = field(default_factory=dict)
    """The chat models behind tools, whatever the settings name."""
    tools: Mapping[ToolName, Tool] = field(default_factory=dict)
    """Tools in place of the library's."""

    def settings(self, runtime: Runtime[Context]) -> Context:
        """The settings of this run: the host's, with those the run itself sets.

        Inside a parent graph the parent's context is another's and is not read.
        """
        if not isinstance(runtime.context, Context):
            return self.context
        own = {name: getattr(runtime.context, name) for name in runtime.context.model_fields_set}
        return self.context.model_copy(update=own)

    async def speaker(self, context: Context) -> BaseChatModel:
        """The policy of this run.

        Raises:
            UnknownPolicy: The settings name none that exists.
        """
        if self.policy is not None:
            return self.policy
        # In a thread: importing a provider's package takes seconds, in which a server must answer others.
        return await asyncio.to_thread(resolve_policy, context.policy, context.temperature, context.seed)

    async def tool_speakers(self, context: Context) -> Mapping[str, Speaker]:
        """The chat models behind the tools on offer in this run, by tool; none for a tool that asks none.

        Raises:
            UnknownPolicy: The settings name one that does not exist, or the embedded policy, which has no words for it.
        """
        named: dict[ToolName, str] = {"describe_video": context.describer, "explain_actions": context.explainer}
        speakers: dict[str, Speaker] = {}
        for tool, spec in named.items():
            if tool not in offered(context):
                continue
            if tool in self.speakers:
                speakers[tool] = self.speakers[tool]
            elif spec == EMBEDDED:
                raise UnknownPolicy(f"{spec!r} cannot do {tool}; use {BY_RULES!r} or a model such as openai:gpt-4.1")
            elif spec != BY_RULES:
                model = await asyncio.to_thread(resolve_policy, spec, 0.0, context.seed)
                speakers[tool] = Speaker(model, spec, SPEAKER_SHARE * context.tool_seconds)
        return speakers


def offered(context: Context) -> list[ToolName]:
    """The tools on offer in this run."""
    return [] if context.mode == "no_tools" else context.tools


def run_tools(context: Context) -> list[dict[str, Any]]:
    """The tool schemas bound in every policy turn of a run, `decompose` among them.

    All turns get the same ones: the tools stand in the system turn, so that a turn with others would not extend the
    tokens of the one before, and the run would be no single sequence to train on.
    """
    return [tool_schema(name) for name in offered(context)] + (
        [] if context.mode == "no_sub_actions" else [tool_schema("decompose")]
    )


def worse(one: Status, other: Status) -> Status:
    """The worse of two endings."""
    return max(one, other, key=("ok", "degraded", "failed").index)
