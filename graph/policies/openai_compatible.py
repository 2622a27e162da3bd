"""Policies behind an OpenAI-compatible server: vLLM, with its token ids and log-probabilities, and DashScope."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from ...tools.errors import MissingExtra, PolicyUnavailable, UnknownPolicy
from ...tools.execution.model_failures import Backend, broken_off, no_answer, not_an_answer, refusal, shortened
from ..concurrency import iterate
from ..records.token_track import TOKEN_TRACK
from ..state import MAX_SECONDS
from .completions import documented

DASHSCOPE: Final = "https://dashscope.aliyuncs.com/compatible-mode/v1"
CONNECT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Server:
    """Where a model is served, and what it reports."""

    model: str
    url: str
    key_variable: str
    """Environment variable that holds the key."""
    key: str
    reports_tokens: bool
    """Whether it reports token ids (vLLM's `return_token_ids`)."""

    @property
    def backend(self) -> Backend:
        """What remedies say about it."""
        return Backend(repr(self.model), self.key_variable, f"{self.url}/models lists its models")


def vllm_server(name: str) -> Server:
    """The server of `<model>@<url>`.

    Raises:
        UnknownPolicy: The model or the http(s) URL is missing.
    """
    model, _, url = name.partition("@")
    if not model or not re.match(r"https?://[^/]", url):
        raise UnknownPolicy(
            f"the policy 'vllm:{name[:80]}' names no model or no server; write it like "
            "vllm:Qwen/Qwen2.5-VL-7B-Instruct@http://127.0.0.1:8000/v1"
        )
    return Server(model, url, "VLLM_API_KEY", os.environ.get("VLLM_API_KEY") or "none", reports_tokens=True)


def dashscope_server(model: str) -> Server:
    """DashScope's OpenAI-compatible API, at `$DASHSCOPE_BASE_URL` if set.

    Raises:
        UnknownPolicy: There is no model name, or no key in `$DASHSCOPE_API_KEY`.
    """
    if not model:
        raise UnknownPolicy("the policy 'dashscope:' names no model; write it like dashscope:qwen2.5-vl-72b-instruct")
    key = os.environ.get("DASHSCOPE_API_KEY")
    if not key:
        raise UnknownPolicy(f"the policy 'dashscope:{model}' needs a key; set the variable DASHSCOPE_API_KEY")
    return Server(
        model, os.environ.get("DASHSCOPE_BASE_URL") or DASHSCOPE, "DASHSCOPE_API_KEY", key, reports_tokens=False
    )


def served_model(
    server: Server, temperature: float = 0.0, seed: int = 0, max_tokens: int | None = None
) -> BaseChatModel:
    """The chat model at `server`; a turn has at most `max_tokens` tokens, or the limit of the server.

    Requests are not retried here, because the graph retries. A reply of vLLM, and the last chunk of a streamed one, has
    `response_metadata["token_track"]`: {prompt_ids, completion_ids, logprobs}.

    Raises:
        MissingExtra: langchain-openai is not installed.
    """
    try:
        import httpx

        from .connections import LoopwiseClient

        client = served_client()
    except ImportError:
        raise MissingExtra(
            f"a policy at {server.url} needs langchain-openai; install it: pip install 'video-star[api]'"
        ) from None
    options: dict[str, Any] = (
        {"logprobs": True, "extra_body": {"return_token_ids": True}} if server.reports_tokens else {}
    )
    model: BaseChatModel = client(
        server=server,
        model=server.model,
        base_url=server.url,
        api_key=server.key,
        temperature=temperature,
        seed=seed,
        max_tokens=max_tokens,
        max_retries=0,
        timeout=httpx.Timeout(MAX_SECONDS, connect=CONNECT_SECONDS),
        stream_usage=True,
        use_responses_api=False,
        http_async_client=LoopwiseClient(follow_redirects=True),
        **options,
    )
    return model


@lru_cache(maxsize=1)
def openai_client() -> Any:
    """LangChain's client class, which also reads completions that differ from the documented form."""
    import httpx
    import openai
    from langchain_openai import ChatOpenAI
    from openai import BaseModel

    class OpenAIModel(ChatOpenAI):
        def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
            if isinstance(response, BaseModel):
                response = response.model_dump(warnings=False)
            given = documented(response) if isinstance(response, dict) else response
            return super()._create_chat_result(given, generation_info)

        def _convert_chunk_to_generation_chunk(self, chunk: dict[str, Any], *args: Any) -> Any:
            return super()._convert_chunk_to_generation_chunk(documented(chunk), *args)

        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            yield from iterate(self._astream(*args[:2], **kwargs))

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            is_whole = False
            try:
                async for chunk in super()._astream(*args, **kwargs):
                    is_whole = is_whole or _is_end(chunk)
                    yield chunk
            except (httpx.TransportError, openai.APIConnectionError):
                # A reply that came whole is taken, and not paid twice, even if its connection broke afterwards.
                if not is_whole:
                    raise
            if not is_whole:
                raise broken_off(self.openai_api_base or "the server", "ended its answer early; try again")

    return OpenAIModel


def _is_end(chunk: ChatGenerationChunk) -> bool:
    """Whether a chunk is the last one with words; the Responses API says it by a status."""
    told = {**(chunk.generation_info or {}), **chunk.message.response_metadata}
    return bool(told.get("finish_reason") or told.get("status"))


@lru_cache(maxsize=1)
def served_client() -> Any:
    """The client class, extended by the token ids of vLLM and by errors with a remedy."""

    class ServedModel(openai_client()):  # type: ignore[misc]
        server: Server

        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            with _remedies(self.server):
                result: ChatResult = super()._generate(*args, **kwargs)
                return result

        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            with _remedies(self.server):
                result: ChatResult = await super()._agenerate(*args, **kwargs)
                return result

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            so_far = _StreamedTrack()
            with _remedies(self.server):
                async for chunk in super()._astream(*args, **kwargs):
                    yield so_far.without_tokens(chunk)
            if so_far.track is not None:
                last = AIMessageChunk(content="", response_metadata={TOKEN_TRACK: so_far.track}, chunk_position="last")
                yield ChatGenerationChunk(message=last)

        def _convert_chunk_to_generation_chunk(self, chunk: dict[str, Any], *args: Any) -> Any:
            converted = super()._convert_chunk_to_generation_chunk(chunk, *args)
            if converted is not None:
                converted.generation_info = {**(converted.generation_info or {}), _TOKENS: chunk}
            return converted

        def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
            result: ChatResult = super()._create_chat_result(response, generation_info)
            if not result.generations:
                raise ValueError("the response has no choices")
            track = token_track(response if isinstance(response, dict) else response.model_dump(warnings=False))
            for generation in result.generations:
                # The text of every token with its log-probability is many times as long as the reply.
                (generation.generation_info or {}).pop("logprobs", None)
            if track is not None:
                result.generations[0].message.response_metadata[TOKEN_TRACK] = track
            return result

    return ServedModel


_TOKENS: Final = "chunk"
"""Key under which a converted chunk carries the chunk as the server sent it, up to `_StreamedTrack`."""


class _StreamedTrack:
    """The token ids and log-probabilities of a turn while it is streamed."""

    def __init__(self) -> None:
        self._read: list[int] = []
        self._choice: dict[str, Any] = {"token_ids": None, "logprobs": {"content": []}}

    def without_tokens(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """The chunk, after its tokens have been added to the track."""
        info = chunk.generation_info or {}
        sent = info.pop(_TOKENS, {})
        # The text of every token with its log-probability is many times as long as the reply.
        info.pop("logprobs", None)
        self._read = sent.get("prompt_token_ids") or self._read
        for choice in sent.get("choices") or ():
            if choice.get("token_ids") is not None:
                self._choice["token_ids"] = [*(self._choice["token_ids"] or ()), *choice["token_ids"]]
                self._choice["logprobs"]["content"] += (choice.get("logprobs") or {}).get("content") or []
        return chunk

    @property
    def track(self) -> dict[str, list[Any]] | None:
        """As `token_track` of the whole response."""
        return token_track({"prompt_token_ids": self._read, "choices": [self._choice]})


def token_track(response: Mapping[str, Any]) -> dict[str, list[Any]] | None:
    """Token ids and log-probabilities of a chat completion as vLLM reports them; None if it reports no ids.

    Returns:
        prompt_ids and completion_ids, as read and sampled by the model, and logprobs, one for each completion id;
        empty if the server does not report one for each.
    """
    choice = response["choices"][0]
    prompt, completion = response.get("prompt_token_ids"), choice.get("token_ids")
    if not prompt or completion is None:
        return None
    return {"prompt_ids": list(prompt), "completion_ids": list(completion), "logprobs": logprobs(choice, completion)}


def logprobs(choice: Mapping[str, Any], ids: Sequence[int]) -> list[float]:
    """The log-probabilities of a choice; empty if there is not one for each of its ids."""
    content = (choice.get("logprobs") or {}).get("content") or []
    return [float(token["logprob"]) for token in content] if len(content) == len(ids) else []


@contextmanager
def _remedies(server: Server) -> Iterator[None]:
    """Raise failures of the client as errors with a remedy."""
    import httpx
    import openai

    try:
        yield
    except (openai.APIConnectionError, httpx.TransportError) as error:
        raise _no_answer(server, error.__cause__ or error) from error
    except openai.APIStatusError as error:
        code = error.code if isinstance(error.code, str) and not error.code.isdigit() else ""
        raise refusal(server.url, server.backend, error.status_code, str(error), code) from error
    except openai.APIError as error:
        # In the middle of a stream.
        raise refusal(server.url, server.backend, 200, str(error), str(error.code or "")) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _no_completion(server, error) from error


@contextmanager
def failures(server: Server) -> Iterator[None]:
    """Raise failures of a request by httpx as errors with a remedy."""
    import httpx

    try:
        yield
    except httpx.TransportError as error:
        raise _no_answer(server, error) from error
    except (ValueError, LookupError, TypeError) as error:
        raise _no_completion(server, error) from error


def _no_answer(server: Server, error: BaseException) -> PolicyUnavailable:
    check = "`video-star serve MODEL` prints the command that starts vLLM"
    return no_answer(server.url, error, _described(error), check)


def _no_completion(server: Server, error: Exception) -> PolicyUnavailable:
    address = "that of an OpenAI-compatible server, with its /v1"
    return not_an_answer(server.url, "a chat completion", address, _described(error))


def _described(error: BaseException) -> str:
    return shortened(f"{type(error).__name__}: {error}")
