"""What the chat models of this package share: their names, how tools are bound, and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypedDict

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from ..concurrency import iterate

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
_TRACED: Final = "ls_structured_output_format"
"""Option of each call that LangChain reads itself, for tracing."""


class ChatPolicy(BaseChatModel):
    """A chat model that takes tools as keyword `tools` of each call, in OpenAI's function format."""

    @property
    def model_name(self) -> str:
        """The name of the model, as in `response_metadata` of its replies."""
        return self._llm_type

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """What traces say of the model: provider, name and settings."""
        params = super()._get_ls_params(stop, **kwargs)
        params["ls_provider"] = self._llm_type
        params.setdefault("ls_model_name", self.model_name)
        return params

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
        traced = {_TRACED: kwargs.pop(_TRACED)} if _TRACED in kwargs else {}
        return self.bind(tools=schemas, **traced, **self._bound_options(schemas, tool_choice, kwargs))

    def _bound_options(
        self, tools: ToolSchemas, tool_choice: str | None, options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The keywords of each call besides `tools`; here none: `tool_choice` and `options` are ignored."""
        return {}

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """The chunks of `_astream`; the whole turn as one chunk if the model has no stream of its own."""
        if type(self)._astream is BaseChatModel._astream:
            yield as_chunk(self._generate(messages, stop, None, **kwargs))
        else:
            yield from iterate(self._astream(messages, stop, None, **kwargs))


def as_chunk(result: ChatResult) -> ChatGenerationChunk:
    """A whole turn as the last chunk of a stream."""
    message = result.generations[0].message
    return ChatGenerationChunk(message=AIMessageChunk(**message.model_dump(exclude={"type"}), chunk_position="last"))
