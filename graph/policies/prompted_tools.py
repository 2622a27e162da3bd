"""Tools as text, for models and servers without tool calling: the prompt and the calls in the Hermes format."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableBinding

from ...tools.errors import http_status
from ...tools.execution.model_failures import REFUSED_TOOLS
from ..replies.tool_calls import parse_hermes
from .base import ChatPolicy, ToolSchemas, as_chunk
from .token_policy import ReplyStream

_SECTION: Final = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{tools}\n</tools>\n\n"
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags:\n<tool_call>\n{{"name": <function-name>, "arguments": <args-json-object>}}\n</tool_call>'
)
_OPEN: Final = "<tool_call>"
_CLOSE: Final = "</tool_call>"
_REFUSED_STATUS: Final = {400, 404, 422}
_ORIGINAL: Final = "hermes"
"""Key under which a turn keeps its original text, if `render_hermes` would write another."""


def as_text(messages: Sequence[BaseMessage], tools: ToolSchemas = ()) -> list[BaseMessage]:
    """The conversation for a model without tool calling.

    The tools are a section of the system turn, calls and tool results are text, and user and assistant turns alternate:
    tool results and the user turn after them are one turn, because strict servers reject two user turns in a row.
    """
    system = [str(message.text) for message in messages if isinstance(message, SystemMessage)]
    if tools:
        system.append(_SECTION.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)))
    converted: list[BaseMessage] = [SystemMessage("\n\n".join(system))] if system else []
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        if isinstance(message, AIMessage):
            converted.append(AIMessage(_turn_text(message)))
            continue
        content = (
            f"<tool_response>\n{message.text}\n</tool_response>"
            if isinstance(message, ToolMessage)
            else message.content
        )
        if converted and isinstance(converted[-1], HumanMessage):
            content = _joined(converted.pop().content, content)
        converted.append(HumanMessage(content))
    return converted


def render_hermes(text: str, calls: Sequence[Mapping[str, Any]]) -> str:
    """An assistant turn as text, each call ({name, args}) in `<tool_call>` after its own text."""
    written = [
        f"{_OPEN}\n{json.dumps({'name': call['name'], 'arguments': call['args']}, ensure_ascii=False)}\n{_CLOSE}"
        for call in calls
    ]
    return "\n".join([*([text] if text else []), *written])


def refuses_tools(error: BaseException | None) -> bool:
    """Whether a server rejected the tools: HTTP 400, 404 or 422 with a message about tools or functions."""
    while error is not None:
        status = http_status(error)
        mentions_tools = re.search(r"\b(tools?|functions?)\b|tool_", str(error), re.IGNORECASE)
        if mentions_tools and status in _REFUSED_STATUS:
            return True
        if re.search(REFUSED_TOOLS, f"{status} {error}"[:10_000], re.IGNORECASE | re.DOTALL):
            return True
        error = error.__cause__
    return False


class ToolFallback(ChatPolicy):
    """A chat model that takes tools, whether or not the model behind it supports tool calling.

    The tools are bound to the model. After its server has rejected them, or from the start if `prompted`, they are sent
    as text, and the turn has "prompted" as `response_metadata["tools"]`. Calls that the server left in the text are
    parsed in both cases.
    """

    model: BaseChatModel
    spec: str
    """Identifies server and model: what one policy learns of them holds for all policies of this process."""
    prompted: bool = False

    @property
    def _llm_type(self) -> str:
        return self.model._llm_type

    @property
    def model_name(self) -> str:
        """The name of the model behind this one."""
        return str(self._get_ls_params().get("ls_model_name", self._llm_type))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.model._get_ls_params(stop, **kwargs)

    @property
    def takes_grammar(self) -> bool:
        """Whether the model's output can be constrained by a grammar; never while tools are sent as text."""
        return bool(getattr(self.model, "takes_grammar", False)) and not self._prompts

    def _bound_options(
        self, tools: ToolSchemas, tool_choice: str | None, options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The model's own options, `grammar` only if it can be used; none has effect while tools are sent as text."""
        given = {**options, "tool_choice": tool_choice}
        if not self.takes_grammar:
            given.pop("grammar", None)
        try:
            bound = self.model.bind_tools(
                [dict(tool) for tool in tools], **{name: value for name, value in given.items() if value is not None}
            )
        except NotImplementedError:
            _REFUSING.add(self.spec)
            bound = None
        return {"native": dict(bound.kwargs) if isinstance(bound, RunnableBinding) else {}}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        tools: ToolSchemas = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not self._prompts:
            with _unless_refused(messages, tools):
                return _with_parsed_calls(
                    self.model._generate(messages, stop, run_manager, **(native or {}), **kwargs), tools
                )
        converted = as_text(messages, tools)
        return self._as_prompted(self.model._generate(converted, stop, run_manager, **kwargs), tools)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        tools: ToolSchemas = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not self._prompts:
            with _unless_refused(messages, tools):
                result = await self.model._agenerate(messages, stop, run_manager, **(native or {}), **kwargs)
                return _with_parsed_calls(result, tools)
        converted = as_text(messages, tools)
        return self._as_prompted(await self.model._agenerate(converted, stop, run_manager, **kwargs), tools)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        tools: ToolSchemas = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if not self._prompts:
            chunks = self._chunks(messages, stop, **(native or {}), **kwargs)
            accepted = False
            with _unless_refused(messages, tools):
                first = await anext(chunks, None)
                accepted = True
            if accepted:
                if first is not None:
                    yield first
                async for chunk in chunks:
                    yield chunk
                return
        stream, parts = ReplyStream(), list[ChatGenerationChunk]()
        async for chunk in self._chunks(as_text(messages, tools), stop, **kwargs):
            chunk.message.response_metadata = {**(chunk.generation_info or {}), **chunk.message.response_metadata}
            parts.append(chunk)
            if (words := stream.add(chunk.text)) is not None:
                yield words
        yield stream.end(self._as_prompted(generate_from_stream(iter(parts)), tools))

    async def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        """The chunks of the model, or its whole turn as one, if it has no stream."""
        own = type(self.model)
        if own._astream is BaseChatModel._astream and own._stream is BaseChatModel._stream:
            kwargs.pop("stream", None)
            yield as_chunk(await self.model._agenerate(messages, stop, None, **kwargs))
            return
        async for chunk in self.model._astream(messages, stop, None, **kwargs):
            yield chunk

    def _as_prompted(self, result: ChatResult, tools: ToolSchemas) -> ChatResult:
        """The result of a conversation as text, which the server has accepted: from now on it gets no other."""
        _REFUSING.add(self.spec)
        return _with_parsed_calls(result, tools, prompted=True)

    @property
    def _prompts(self) -> bool:
        return self.prompted or self.spec in _REFUSING


_REFUSING: Final[set[str]] = set()
"""Specs whose servers accepted a conversation as text after they had rejected it with tools."""


@contextmanager
def _unless_refused(messages: Sequence[BaseMessage], tools: ToolSchemas) -> Iterator[None]:
    """Suppress the error if the server rejected the tools and may accept the same conversation with tools as text."""
    try:
        yield
    except Exception as error:
        used = tools or any(isinstance(message, ToolMessage) for message in messages)
        if not used or not refuses_tools(error):
            raise


def _with_parsed_calls(result: ChatResult, tools: ToolSchemas, *, prompted: bool = False) -> ChatResult:
    """The result with the calls in its text parsed, if tools were offered."""
    for generation in result.generations:
        message = generation.message
        assert isinstance(message, AIMessage)
        update: dict[str, Any] = {}
        if prompted:
            update["response_metadata"] = {**message.response_metadata, "tools": "prompted"}
        unread = not message.tool_calls and not message.invalid_tool_calls
        if tools and unread and (prompted or _OPEN in message.text):
            text, calls, invalid = parse_hermes(message.text)
            update |= {"content": text, "tool_calls": calls, "invalid_tool_calls": invalid}
            if prompted and render_hermes(text, calls) != message.text:
                update["additional_kwargs"] = {**message.additional_kwargs, _ORIGINAL: message.text}
        generation.message = message.model_copy(update=update)
    return result


def _turn_text(message: AIMessage) -> str:
    """The turn as the model wrote it, so that the next prompt extends it; rendered anew if changed since."""
    original = message.additional_kwargs.get(_ORIGINAL)
    calls = _names_and_args(message.tool_calls)
    if isinstance(original, str):
        text, parsed, _ = parse_hermes(original)
        if text == message.text and _names_and_args(parsed) == calls:
            return original
    return render_hermes(message.text, calls)


def _names_and_args(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [{"name": call["name"], "args": call["args"]} for call in calls]


def _joined(before: str | list[Any], after: str | list[Any]) -> str | list[Any]:
    if isinstance(before, str) and isinstance(after, str):
        return f"{before}\n{after}"
    blocks = [{"type": "text", "text": f"{before}\n"}] if isinstance(before, str) else before
    return [*blocks, *([{"type": "text", "text": after}] if isinstance(after, str) else after)]
