"""What the host fixed when it built the graph, resolved for one run: settings, policy, tools, models behind tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langgraph.runtime import Runtime

from ..tools.errors import ModelNotAllowed, UnknownPolicy
from ..tools.execution.chat_model import ToolModel
from ..tools.registry import Tool, ToolName, tool
from ..tools.settings import settings
from .policies.registry import EMBEDDED, resolve_policy
from .prompts import tool_schema
from .state import EMBEDDED_ENGINE, Context, HostContext

TOOL_LIMIT: Final = "tool_seconds (--tool-seconds)"
POLICY_LIMIT: Final = "policy_seconds (--policy-seconds)"
"""The settings that limit a tool call and a policy turn, in Python and on the command line."""
CHAT_MODEL_SHARE: Final = 0.7
"""Fraction of a tool's time limit that its chat model may use; the rest is for the embedded engine, if the model
fails."""

_EMBEDDED_MODELS: Final = {"policy": EMBEDDED, "describer": EMBEDDED_ENGINE, "explainer": EMBEDDED_ENGINE}
"""The settings that name a model, and the embedded one of each."""


@dataclass(frozen=True)
class Host:
    """What a host fixes when it builds the graph."""

    context: Context = field(default_factory=Context)
    """Settings for whatever a run does not set itself."""
    policy: BaseChatModel | None = None
    """The policy, whatever the settings name; None to follow the settings."""
    chat_models: Mapping[ToolName, ToolModel] = field(default_factory=dict)
    """Chat models behind tools, whatever the settings name."""
    tools: Mapping[ToolName, Tool] = field(default_factory=dict)
    """Tools that replace the library's tools of the same name."""
    allowed_models: frozenset[str] | None = None
    """Models that the context of a run may name; None: those in VIDEO_STAR_ALLOWED_MODELS."""

    def settings(self, runtime: Runtime[Context]) -> Context:
        """The settings of this run: the host's, overridden by those that the run sets.

        As a subgraph, the run sees the context of its parent graph, which is of another type and is ignored.

        Raises:
            ModelNotAllowed: The run's context, which a stranger may have written, names a model that is not allowed.
        """
        if not isinstance(runtime.context, Context):
            return self.context
        own = {name: getattr(runtime.context, name) for name in runtime.context.model_fields_set}
        if not isinstance(runtime.context, HostContext):
            self.check_models(own)
        return self.context.model_copy(update=own)

    def check_models(self, own: Mapping[str, Any]) -> None:
        """Check the models that a run's own context names against the host's list."""
        allowed = settings().allowed_models if self.allowed_models is None else self.allowed_models
        for name, embedded in _EMBEDDED_MODELS.items():
            spec = own.get(name, embedded)
            if spec not in (embedded, getattr(self.context, name), *allowed):
                raise ModelNotAllowed(
                    f"the host of this graph does not allow the {name} {spec[:80]!r}; use {embedded!r}, or ask the "
                    "host to list it in VIDEO_STAR_ALLOWED_MODELS or in allowed_models of build_graph"
                )

    async def policy_for(self, context: Context) -> BaseChatModel:
        """The policy of this run.

        Raises:
            UnknownPolicy: The settings name a policy that does not exist.
            MissingExtra: The policy needs a package that is not installed.
        """
        if self.policy is not None:
            return self.policy
        # In a thread: importing a provider's package takes seconds, during which a server must answer other requests.
        return await asyncio.to_thread(resolve_policy, context.policy, context.temperature, context.seed)

    async def chat_models_for(self, context: Context) -> Mapping[str, ToolModel]:
        """The chat models behind the tools offered in this run, by tool name; tools without a chat model are absent.

        Raises:
            UnknownPolicy: The settings name a model that does not exist, or the embedded policy, which writes no text.
            MissingExtra: A model needs a package that is not installed.
        """
        named: dict[ToolName, str] = {"describe_video": context.describer, "explain_actions": context.explainer}
        models: dict[str, ToolModel] = {}
        for name, spec in named.items():
            if name not in offered_tools(context):
                continue
            if name in self.chat_models:
                models[name] = self.chat_models[name]
            elif spec == EMBEDDED:
                raise UnknownPolicy(
                    f"{spec!r} cannot do {name}; use {EMBEDDED_ENGINE!r} or a model such as openai:gpt-4.1"
                )
            elif spec != EMBEDDED_ENGINE:
                model = await asyncio.to_thread(resolve_policy, spec, 0.0, context.seed)
                models[name] = _tool_model(model, spec, context)
        return models

    def tool(self, name: ToolName, chat_models: Mapping[str, ToolModel]) -> Tool:
        """The tool `name`: the host's own, or else the library's, with its chat model if it has one.

        Raises:
            UnknownTool: There is no tool of that name.
        """
        return self.tools.get(name) or tool(name, chat_models.get(name))


def _tool_model(model: BaseChatModel, spec: str, context: Context) -> ToolModel:
    """A chat model behind a tool. It gets no more time than a policy turn, however long tools may take."""
    share = CHAT_MODEL_SHARE * context.tool_seconds
    if share <= context.policy_seconds:
        return ToolModel(model, spec, share, f"raise {TOOL_LIMIT}")
    return ToolModel(model, spec, context.policy_seconds, f"raise {POLICY_LIMIT}")


def offered_tools(context: Context) -> list[ToolName]:
    """The tools that this run offers to the policy."""
    return [] if context.mode == "no_tools" else context.tools


def tool_schemas(context: Context) -> list[dict[str, Any]]:
    """The schemas bound in every policy turn of a run, including `decompose`.

    They are the same in all turns, because the tools are part of the system message: with other tools, a turn would not
    extend the tokens of the turn before, and the run would not be a single sequence to train on.
    """
    names: list[str] = [*offered_tools(context), *(() if context.mode == "no_sub_actions" else ("decompose",))]
    return [tool_schema(name) for name in names]
