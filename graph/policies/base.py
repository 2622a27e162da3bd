"""What the chat models of this package share: tools are bound in one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypedDict

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

NO_EVIDENCE: Final = "no_evidence"
"""Key in `response_metadata` of a policy's last reply: why nothing told it the candidates apart, if nothing did."""

CONFIDENCE: Final = "confidence"
"""Key in `response_metadata` of a calibrated policy's last reply, with a `Confidence`."""


class Confidence(TypedDict):
    """How likely the answer of a calibrated policy is right."""

    probability: float
    """0..1."""
    calibrated_on: str
    """The data, in words."""


ToolSchemas = Sequence[Mapping[str, Any]]
"""Tools in OpenAI's function format."""


class ChatPolicy(BaseChatModel):
    """A chat model that takes tools as keyword `tools` of each call, in OpenAI's function format."""

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools, in any form that LangChain takes.

        Args:
            tools: The tools.
            tool_choice: `auto`, `none`, `any`, `required` or the name of a tool, where the model supports it.
            **kwargs: Further options of each call.

        Raises:
            ValueError: The model does not support this `tool_choice`.
        """
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=schemas, **self._bound_options(schemas, tool_choice, kwargs))

    def _bound_options(
        self, tools: ToolSchemas, tool_choice: str | None, options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The keywords of each call besides `tools`; here none: `tool_choice` and `options` are ignored."""
        return {}
