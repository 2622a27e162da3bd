"""Tools as text, for models and servers that know none: the Hermes form of the chat template, written here."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from ..replies.tool_calls import parse_hermes
from .errors import http_status
from .token_policy import as_chunk

Tools = Sequence[Mapping[str, Any]]
_SECTION: Final = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{tools}\n</tools>\n\n"
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags:\n<tool_call>\n{{"name": <function-name>, "arguments": <args-json-object>}}\n</tool_call>'
)
_OPEN: Final = "<tool_call>"
_CLOSE: Final = "</tool_call>"
_REFUSED_STATUS: Final = {400, 404, 422}
_KEPT: Final = "hermes"
"""Where a turn keeps its own words, if the form written here would differ from them."""


def as_text(messages: Sequence[BaseMessage], tools: Tools = ()) -> list[BaseMessage]:
    """The conversation for a model that knows no tools.

    One system turn with the tool section, calls and tool results as text, and user and assistant in turns: results and
    what the user says next are one user turn, because strict servers refuse two in a row.
    """
    system = [str(message.text) for message in messages if isinstance(message, SystemMessage)]
    if tools:
        system.append(_SECTION.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)))
    told: list[BaseMessage] = [SystemMessage("\n\n".join(system))] if system else []
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        if isinstance(message, AIMessage):
            told.append(AIMessage(_said(message)))
            continue
        content = (
            f"<tool_response>\n{message.text}\n</tool_response>"
            if isinstance(message, ToolMessage)
            else message.content
        )
        if told and isinstance(told[-1], HumanMessage):
            content = _joined(told.pop().content, content)
        told.append(HumanMessage(content))
    return told


def render_hermes(text: str, calls: Sequence[Mapping[str, Any]]) -> str:
    """An assistant turn as text: what is said, then each call ({name, args}) in `<tool_call>`."""
    written = [
        f"{_OPEN}\n{json.dumps({'name': call['name'], 'arguments': call['args']}, ensure_ascii=False)}\n{_CLOSE}"
        for call in calls
    ]
    return "\n".join([*([text] if text else []), *written])


def refuses_tools(error: BaseException | None) -> bool:
    """Whether a server said that it takes no tools: HTTP 400, 404 or 422 with a message about tools or functions."""
    while error is not None:
        about = re.search(r"\b(tools?|functions?)\b|tool_", str(error), re.IGNORECASE)
        if about and http_status(error) in _REFUSED_STATUS:
            return True
        error = error.__cause__
    return False


class AnyTools(BaseChatModel):
    """A chat model that takes tools, whether or not the model behind it does.

    Tools go to the model as it takes them. Once its server has refused them, or from the start where `prompted`, they
    go as text, and the turn says so in `response_metadata["tools"]`. Calls that a server left in the text are read
    either way.
    """

    model: BaseChatModel
    spec: str
    """Names the server and model, for all policies of this process that speak to them."""
    prompted: bool = False

    @property
    def _llm_type(self) -> str:
        return self.model._llm_type

    @property
    def takes_grammar(self) -> bool:
        """Whether a turn can be held to a grammar: where the model's own backend does, and not while tools are text."""
        return bool(getattr(self.model, "takes_grammar", False)) and not self._prompts

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        grammar: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools, as any LangChain chat model takes them.

        `tool_choice` binds only where tools are not text, and `grammar`, which the turn is to follow, only where
        `takes_grammar`.
        """
        chosen = {"tool_choice": tool_choice, "grammar": grammar if self.takes_grammar else None}
        kwargs |= {name: value for name, value in chosen.items() if value is not None}
        try:
            bound = self.model.bind_tools(tools, **kwargs)
        except NotImplementedError:
            _REFUSING.add(self.spec)
            bound = None
        native = dict(bound.kwargs) if isinstance(bound, RunnableBinding) else {}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], native=native)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        tools: Tools = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not self._prompts:
            with _unless_refused(messages, tools):
                return _heard(self.model._generate(messages, stop, run_manager, **(native or {}), **kwargs), tools)
        told = as_text(messages, tools)
        return self._heard_as_text(self.model._generate(told, stop, run_manager, **kwargs), tools)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        tools: Tools = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not self._prompts:
            with _unless_refused(messages, tools):
                result = await self.model._agenerate(messages, stop, run_manager, **(native or {}), **kwargs)
                return _heard(result, tools)
        told = as_text(messages, tools)
        return self._heard_as_text(await self.model._agenerate(told, stop, run_manager, **kwargs), tools)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        tools: Tools = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if not self._prompts:
            chunks = self.model._astream(messages, stop, run_manager, **(native or {}), **kwargs)
            answers = False
            with _unless_refused(messages, tools):
                first = await anext(chunks, None)
                answers = True
            if answers:
                if first is not None:
                    yield first
                async for chunk in chunks:
                    yield chunk
                return
        # A call in text is none until its end is there, so as text the turn comes in one piece.
        kwargs.pop("stream", None)
        told = as_text(messages, tools)
        yield as_chunk(self._heard_as_text(await self.model._agenerate(told, stop, run_manager, **kwargs), tools))

    def _heard_as_text(self, result: ChatResult, tools: Tools) -> ChatResult:
        """The result of a conversation as text, which the server has taken: it gets no other from now on."""
        _REFUSING.add(self.spec)
        return _heard(result, tools, prompted=True)

    @property
    def _prompts(self) -> bool:
        return self.prompted or self.spec in _REFUSING


_REFUSING: Final[set[str]] = set()
"""Specs whose servers took the same conversation as text after they had refused it with tools."""


@contextmanager
def _unless_refused(messages: Sequence[BaseMessage], tools: Tools) -> Iterator[None]:
    """Leave the block, without an error, where the same conversation may pass with all use of tools as text."""
    try:
        yield
    except Exception as error:
        used = tools or any(isinstance(message, ToolMessage) for message in messages)
        if not used or not refuses_tools(error):
            raise


def _heard(result: ChatResult, tools: Tools, *, prompted: bool = False) -> ChatResult:
    """The result with the calls in its text read, if tools were on offer."""
    for generation in result.generations:
        message = generation.message
        assert isinstance(message, AIMessage)
        update: dict[str, Any] = {}
        if prompted:
            update["response_metadata"] = {**message.response_metadata, "tools": "prompted"}
        unread = not message.tool_calls and not message.invalid_tool_calls
        if tools and unread and (prompted or _OPEN in message.text):
            said, calls, invalid = parse_hermes(message.text)
            update |= {"content": said, "tool_calls": calls, "invalid_tool_calls": invalid}
            if prompted and render_hermes(said, calls) != message.text:
                update["additional_kwargs"] = {**message.additional_kwargs, _KEPT: message.text}
        generation.message = message.model_copy(update=update)
    return result


def _said(message: AIMessage) -> str:
    """The turn as the model wrote it, so that the next prompt extends this one; as written here, if since changed."""
    own = message.additional_kwargs.get(_KEPT)
    calls = _told(message.tool_calls)
    if isinstance(own, str):
        said, read, _ = parse_hermes(own)
        if said == message.text and _told(read) == calls:
            return own
    return render_hermes(message.text, calls)


def _told(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [{"name": call["name"], "args": call["args"]} for call in calls]


def _joined(before: str | list[Any], after: str | list[Any]) -> str | list[Any]:
    if isinstance(before, str) and isinstance(after, str):
        return f"{before}\n{after}"
    blocks = [{"type": "text", "text": f"{before}\n"}] if isinstance(before, str) else before
    return [*blocks, *([{"type": "text", "text": after}] if isinstance(after, str) else after)]
