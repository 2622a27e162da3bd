"""Tools as text, for models and servers that know none: the Hermes form of the chat template, written and read here."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

_SECTION: Final = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{tools}\n</tools>\n\n"
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags:\n<tool_call>\n{{"name": <function-name>, "arguments": <args-json-object>}}\n</tool_call>'
)
_OPEN: Final = "<tool_call>"
_CLOSE: Final = "</tool_call>"
_FENCE: Final = re.compile(r"```[a-zA-Z_]*[ \t]*\n?(.*?)```", re.DOTALL)
_FENCE_START: Final = re.compile(r"\s*(?:```[a-zA-Z_]*\s*)?")
_EMPTY_FENCE: Final = re.compile(r"```[a-zA-Z_]*\s*```")
_ARGUMENTS: Final = {"arguments", "parameters"}
_DECODER: Final = json.JSONDecoder(strict=False)
_REFUSED_STATUS: Final = {400, 404, 422}
_KEPT: Final = "hermes"
"""Where a turn keeps its own words, if the form written here would differ from them."""


def as_text(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]] = ()) -> list[BaseMessage]:
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


def parse_hermes(text: str) -> tuple[str, list[ToolCall], list[InvalidToolCall]]:
    """What is said, the calls, and what was meant as a call but cannot be read. Never raises.

    Without any `<tool_call>`, JSON with a name and arguments that is the whole text, or all of a code fence, is a call
    too. A text without calls comes back as it is.
    """
    said, bodies = _split(text) if _OPEN in text else _bare(text)
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for body in bodies:
        meant = [_meant(value) for value in _values(body)]
        read = [each for each in meant if each is not None]
        if not read or len(read) < len(meant):
            named = re.search(r"""["']name["']\s*:\s*["']([\w.-]{1,64})["']""", body)
            invalid.append(
                invalid_tool_call(
                    name=named[1] if named else None, args=body, id=_id(), error="not a JSON object with a name"
                )
            )
        else:
            calls += [tool_call(name=name, args=args, id=_id()) for name, args in read]
    if not calls and not invalid:
        return text, [], []
    return _EMPTY_FENCE.sub("", said).strip(), calls, invalid


def refuses_tools(error: BaseException | None) -> bool:
    """Whether a server said that it takes no tools: HTTP 400, 404 or 422 with a message about tools or functions."""
    while error is not None:
        status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
        if status in _REFUSED_STATUS and re.search(r"\b(tools?|functions?)\b|tool_", str(error), re.IGNORECASE):
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

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools, as any LangChain chat model takes them. A `tool_choice` binds only where tools are not text."""
        chosen = {"tool_choice": tool_choice} if tool_choice is not None else {}
        try:
            bound = self.model.bind_tools(tools, **chosen, **kwargs)
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
        tools: Sequence[Mapping[str, Any]] = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not self._prompts:
            try:
                result = self.model._generate(messages, stop, run_manager, **(native or {}), **kwargs)
                return _heard(result, tools)
            except Exception as error:
                if not _about_tools(error, messages, tools):
                    raise
        result = self.model._generate(as_text(messages, tools), stop, run_manager, **kwargs)
        _REFUSING.add(self.spec)
        return _heard(result, tools, prompted=True)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not self._prompts:
            try:
                result = await self.model._agenerate(messages, stop, run_manager, **(native or {}), **kwargs)
                return _heard(result, tools)
            except Exception as error:
                if not _about_tools(error, messages, tools):
                    raise
        return await self._in_text(messages, tools, stop, run_manager, **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        native: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        begun = False
        if not self._prompts:
            try:
                async for chunk in self.model._astream(messages, stop, run_manager, **(native or {}), **kwargs):
                    begun = True
                    yield chunk
                return
            except Exception as error:
                if begun or not _about_tools(error, messages, tools):
                    raise
        # A call in text is none until its end is there, so as text the turn comes in one piece.
        kwargs.pop("stream", None)
        result = await self._in_text(messages, tools, stop, run_manager, **kwargs)
        whole = result.generations[0].message
        yield ChatGenerationChunk(message=AIMessageChunk(**whole.model_dump(exclude={"type"})))

    async def _in_text(
        self, messages: list[BaseMessage], tools: Sequence[Mapping[str, Any]], *args: Any, **kwargs: Any
    ) -> ChatResult:
        result = await self.model._agenerate(as_text(messages, tools), *args, **kwargs)
        _REFUSING.add(self.spec)
        return _heard(result, tools, prompted=True)

    @property
    def _prompts(self) -> bool:
        return self.prompted or self.spec in _REFUSING


_REFUSING: Final[set[str]] = set()
"""Specs whose servers took the same conversation as text after they had refused it with tools."""


def _about_tools(error: Exception, messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the same conversation may pass with its tools, or what is left of their use, as text."""
    return refuses_tools(error) and (bool(tools) or any(isinstance(message, ToolMessage) for message in messages))


def _heard(result: ChatResult, tools: Sequence[Mapping[str, Any]], *, prompted: bool = False) -> ChatResult:
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


def _split(text: str) -> tuple[str, list[str]]:
    """What is said outside of calls, and the body of each call. A string inside a call may hold the closing tag."""
    said, bodies, at = "", [], 0
    while (begin := text.find(_OPEN, at)) >= 0:
        said += text[at:begin]
        begin += len(_OPEN)
        read = begin + max((end for _, end in _decoded(text[begin:])), default=0)
        close, following = text.find(_CLOSE, read), text.find(_OPEN, read)
        closed = close >= 0 and not 0 <= following < close
        if closed:
            body_end, at = close, close + len(_CLOSE)
        elif read > begin:
            body_end = at = read
        else:
            body_end = at = following if following >= 0 else len(text)
        # A turn that ends in an opening tag is one that was cut off before, or a tag used to close the call before.
        if body := text[begin:body_end].strip():
            bodies.append(body)
    return said + text[at:], bodies


def _bare(text: str) -> tuple[str, list[str]]:
    """Calls without tags: the whole text, or whole code fences, that are JSON with a name and arguments."""
    whole = text.strip()
    if whole[:1] in ("{", "[") and whole[-1:] in ("}", "]") and _is_call(whole):
        return "", [whole]
    fenced = [match for match in _FENCE.finditer(text) if _is_call(match[1])]
    said = text
    for match in reversed(fenced):
        said = said[: match.start()] + said[match.end() :]
    return said, [match[1].strip() for match in fenced]


def _is_call(text: str) -> bool:
    values = _values(text)
    return bool(values) and all(
        isinstance(value, dict) and isinstance(value.get("name"), str) and _ARGUMENTS & value.keys() for value in values
    )


def _values(body: str) -> list[Any]:
    """The JSON values of a call's body, a list's items each; none if it is not JSON, nor close to it."""
    for candidate in _mended(body):
        if values := [value for value, _ in _decoded(candidate)]:
            return [item for value in values for item in (value if isinstance(value, list) else [value])]
    return []


def _mended(body: str) -> Iterator[str]:
    """The body, and what it may have been meant to be, for slips that leave no doubt."""
    yield body
    without_commas = re.sub(r",(\s*[}\]])", r"\1", body)
    yield without_commas
    quoted = without_commas if '"' in without_commas else without_commas.replace("'", '"')
    yield quoted
    yield f"{quoted.rstrip().removesuffix('```')}}}"


def _decoded(text: str) -> Iterator[tuple[Any, int]]:
    """JSON objects and lists at the beginning of the text, one after the other, each with where it ends."""
    at = 0
    while True:
        start = _FENCE_START.match(text, at)
        at = start.end() if start else at
        if text[at : at + 1] not in ("{", "["):
            return
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield value, at


def _meant(value: Any) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a call, or None."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return None
    args = value.get("arguments", value.get("parameters", {}))
    if isinstance(args, str):
        try:
            args = _DECODER.decode(args or "{}")
        except (ValueError, RecursionError):
            return None
    args = {} if args is None else args
    try:
        # Half of a surrogate pair passes for JSON, but can be neither kept nor sent.
        json.dumps([value["name"], args], ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return None
    return (value["name"], args) if isinstance(args, dict) else None


def _id() -> str:
    return f"call_{uuid4().hex[:12]}"
