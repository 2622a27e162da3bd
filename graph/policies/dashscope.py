"""DashScope (Alibaba Cloud Model Studio) through the vendor's SDK and native API."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, SecretStr

from ...tools.errors import MissingExtra, PolicyUnavailable, UnknownPolicy
from ...tools.execution.model_failures import (
    Backend,
    broken_off,
    no_answer,
    not_an_answer,
    refusal,
    shortened,
    timed_out,
)
from ..concurrency import wait_for
from ..state import MAX_SECONDS
from .base import ChatPolicy, ToolSchemas
from .dashscope_messages import to_chunk, to_dashscope, to_message, to_tool_choice, to_usage

if TYPE_CHECKING:
    import aiohttp


class Refusal(Exception):
    """An error response of DashScope."""

    headers: Mapping[str, str] = {}
    """Headers of the response, names in lower case."""

    def __init__(self, status_code: int, code: str, message: str, request_id: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.status_code, self.code, self.message, self.request_id = status_code, code, message, request_id


class _Unsent(Exception):
    """A connection that failed before there was a response."""


class DashScopePolicy(ChatPolicy):
    """A chat model of DashScope; requests are not retried here, because the graph retries.

    Each call opens a session and closes it: a policy can be used from any number of event loops, and a cancelled call
    leaves no connection. The key is sent with each request and stored nowhere else.
    """

    model: str
    api_key: SecretStr = Field(repr=False)
    base_url: str
    """Root of the native API, such as https://dashscope.aliyuncs.com/api/v1."""
    temperature: float = 0.0
    """In [0, 2)."""
    seed: int = 0
    """In [0, 2**31)."""
    max_tokens: int | None = None
    """Maximum tokens of a turn; None for the limit of the model."""
    seconds: float = MAX_SECONDS
    """Time limit of a response; of the next chunk, when streaming."""

    @property
    def _llm_type(self) -> str:
        return "dashscope"

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self.model

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "temperature": self.temperature, "seed": self.seed}

    def _bound_options(
        self, tools: ToolSchemas, tool_choice: str | None, options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Parameters of the request; several tools may be called in one turn."""
        choice = {} if tool_choice is None else {"tool_choice": to_tool_choice(tool_choice, tools)}
        return {"parallel_tool_calls": True, **choice, **options}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return wait_for(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(messages, stop, kwargs)
        async with self._exchange() as (session, once):
            response = await _conversation().call(session=session, **request)
            choice = self._choice(response, once)
            message = to_message(choice["message"])
            message.usage_metadata = to_usage(response)
            message.response_metadata = _metadata(request["model"], response, choice["finish_reason"])
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        import aiohttp

        request = {**self._request(messages, stop, kwargs), "stream": True, "incremental_output": True}
        finish, response = None, None
        async with self._exchange() as (session, once):
            try:
                async for response in await _conversation().call(session=session, **request):
                    choice = self._choice(response, once)
                    if choice.get("finish_reason") not in (None, "", "null"):
                        finish = choice["finish_reason"]
                    yield ChatGenerationChunk(message=to_chunk(choice["message"]))
            except (aiohttp.ClientError, _Unsent):
                # A reply that came whole is taken, and not paid twice, even if its connection broke afterwards.
                if finish is None:
                    raise
            if response is None or finish is None:
                raise broken_off(self.base_url, "ended its answer early; try again")
            usage = to_usage(response)
        # Every chunk repeats usage and identity, and LangChain sums chunks up.
        last = AIMessageChunk(content="", usage_metadata=usage, chunk_position="last")
        last.response_metadata = _metadata(request["model"], response, finish)
        yield ChatGenerationChunk(message=last)

    @asynccontextmanager
    async def _exchange(self) -> AsyncIterator[tuple[aiohttp.ClientSession, _Exchange]]:
        """A session for one request, and the observed response; failures are raised as typed errors with a remedy."""
        import aiohttp
        from dashscope.api_entities.aio_session import get_ssl_context

        once = _Exchange()
        connector = aiohttp.TCPConnector(ssl=get_ssl_context(), force_close=True)
        async with aiohttp.ClientSession(connector=connector, trust_env=True, middlewares=(once,)) as session:
            with self._failures(once):
                yield session, once

    def _request(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [to_dashscope(message) for message in messages],
            "api_key": self.api_key.get_secret_value(),
            "base_address": self.base_url,
            "temperature": self.temperature,
            "seed": self.seed,
            **({} if self.max_tokens is None else {"max_tokens": self.max_tokens}),
            "result_format": "message",
            "request_timeout": self.seconds,
            **({"stop": stop} if stop else {}),
            **{name: value for name, value in kwargs.items() if name != "stream"},
        }

    def _choice(self, response: Any, once: _Exchange) -> Mapping[str, Any]:
        """The first choice of a response; raises the errors that the SDK returns as responses."""
        if response.status_code != 200:
            code = response.code or "Unknown"
            if once.status == 200 and code == "Unknown":
                raise ValueError(f"the response is not JSON: {str(response.message)[:80]}")
            raise Refusal(response.status_code, code, self._redacted(str(response.message)), response.request_id)
        choice: Mapping[str, Any] = response.output["choices"][0]
        return choice

    @contextmanager
    def _failures(self, once: _Exchange) -> Iterator[None]:
        """Raise failures as typed errors with a remedy."""
        import aiohttp

        try:
            yield
        except PolicyUnavailable:
            raise
        except Refusal as refused:
            raise self._refusal(refused, once) from refused
        except TimeoutError as error:
            raise timed_out(self.base_url, self.seconds) from error
        except (_Unsent, aiohttp.ClientConnectionError) as error:
            check = "DASHSCOPE_HTTP_BASE_URL sets another"
            raise no_answer(self.base_url, error, self._described(error), check) from error
        except aiohttp.ClientPayloadError as error:
            raise broken_off(self.base_url, f"cut off its answer; try again ({self._described(error)})") from error
        except Exception as error:
            if once.status not in (None, 200):
                unread = Refusal(once.status, "Unknown", str(error))
                raise self._refusal(unread, once) from unread
            address = "that of the native API, with its /api/v1"
            raise not_an_answer(self.base_url, "an answer of DashScope", address, self._described(error)) from error

    def _refusal(self, refused: Refusal, once: _Exchange) -> PolicyUnavailable:
        refused.headers = once.headers
        code = "" if refused.code == "Unknown" else refused.code
        message = self._redacted(refused.message)
        return refusal(self.base_url, self._backend, refused.status_code, message, code, refused.request_id)

    @property
    def _backend(self) -> Backend:
        key = "DASHSCOPE_API_KEY to a key of the region of this address"
        return Backend(repr(self.model), key, "check that the address ends in /api/v1")

    def _described(self, error: BaseException) -> str:
        return shortened(self._redacted(f"{type(error).__name__}: {error}"))

    def _redacted(self, text: str) -> str:
        """The text without the key, in case the server repeats it."""
        return text.replace(self.api_key.get_secret_value(), "[key]")


class _Exchange:
    """Middleware that sends a request only once and keeps status and headers of the response.

    The SDK itself retries when the connection breaks, and drops the status of an error that it cannot parse.
    """

    status: int | None = None
    headers: Mapping[str, str] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        import aiohttp

        try:
            response = await handler(request)
        except TimeoutError:
            raise
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise _Unsent(str(error) or type(error).__name__) from error
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        if 300 <= response.status < 400:
            # Following it would turn the request into a GET, or send the images to another host.
            response.close()
            raise Refusal(response.status, "Unknown", f"redirect to {response.headers.get('Location', 'nowhere')}")
        if response.status == 200 and response.content_type not in ("application/json", "text/event-stream"):
            # Not left to the SDK, whose exception also has the key in its representation.
            response.close()
            raise ValueError(f"the response is {response.content_type}")
        return response


def _metadata(model: str, response: Any, finish: str | None) -> dict[str, Any]:
    return {"model_name": model, "request_id": response.request_id, "finish_reason": finish}


def make(model: str, temperature: float = 0.0, seed: int = 0, max_tokens: int | None = None) -> DashScopePolicy:
    """The DashScope model named `model`, at `$DASHSCOPE_HTTP_BASE_URL` or the default address of the SDK.

    Raises:
        UnknownPolicy: There is no model name, or no key in `$DASHSCOPE_API_KEY`.
        MissingExtra: The package dashscope is not installed.
    """
    if not model:
        raise UnknownPolicy("the policy 'dashscope:' names no model; write it like dashscope:qwen2.5-vl-72b-instruct")
    key = os.environ.get("DASHSCOPE_API_KEY")
    if not key:
        raise UnknownPolicy(f"the policy 'dashscope:{model}' needs a key; set the variable DASHSCOPE_API_KEY")
    try:
        import dashscope

        _conversation()
    except ImportError:
        raise MissingExtra(
            f"the policy 'dashscope:{model}' needs the package dashscope; install it: pip install 'video-star[api]'"
        ) from None
    url = os.environ.get("DASHSCOPE_HTTP_BASE_URL") or dashscope.base_http_api_url
    return DashScopePolicy(
        model=model,
        api_key=SecretStr(key),
        base_url=url.rstrip("/"),
        temperature=temperature,
        seed=seed,
        max_tokens=max_tokens,
    )


@lru_cache(maxsize=1)
def _conversation() -> Any:
    """The SDK's class for conversations with images, without its preprocessing of messages."""
    from dashscope import AioMultiModalConversation

    class Conversation(AioMultiModalConversation):
        @classmethod
        def _preprocess_messages(cls, model: str, messages: list[Any], api_key: str) -> bool:
            # The SDK would upload any file whose name is the text of a user turn.
            return False

    return Conversation
