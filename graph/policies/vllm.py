"""vLLM as a policy: token ids are sent instead of text, so that every turn extends the last.

Chat completions render the conversation anew for every turn, and tokenising the text of a reply seldom gives the ids
that were sampled. Here the server tokenises only what was added, and the ids of the whole conversation are sent to
`/inference/v1/generate`, a route of `vllm serve --enable-scale-out`. A server without this route, or whose chat
template differs from this package's, is used through chat completions, and forks are counted.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, NoReturn

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from ...tools.execution.model_failures import broken_off, interrupted, refusal
from ...tools.execution.retries import retried
from ..concurrency import wait_for
from ..state import MAX_SECONDS
from . import chat_template
from .base import ToolSchemas
from .connections import LoopwiseClient
from .openai_compatible import CONNECT_SECONDS, Server, failures, logprobs, served_model
from .token_policy import (
    END,
    SAMPLE,
    VISION_TOKENS,
    ReplyStream,
    TokenPolicy,
    TokenReply,
    build_prompt,
    fingerprint,
    to_result,
    with_end,
)

GENERATE: Final = "/inference/v1/generate"
_PROBE: Final[tuple[list[Any], list[Any]]] = (
    [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": "a",
            "tool_calls": [{"type": "function", "id": "1", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "t", "tool_call_id": "1"},
    ],
    [{"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}],
)
"""A conversation and tools with everything that the graph's conversations contain, to compare chat templates."""


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of a server's model: its fingerprint and control tokens."""

    fingerprint: str
    end: int
    pad: int
    vision: tuple[int, ...]


class VllmPolicy(TokenPolicy):
    """A model served by vLLM: ids in, ids out, log-probabilities as the server reports them."""

    server: Server
    seed: int = 0

    @property
    def _llm_type(self) -> str:
        return "vllm"

    @property
    def model_name(self) -> str:
        """The name under which the model is served."""
        return self.server.model

    @cached_property
    def _chat_completions(self) -> BaseChatModel:
        return served_model(self.server, self.temperature, self.seed, self.max_new_tokens)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return wait_for(self._agenerate(messages, stop, None, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        client = _client(self.server)
        body = await self._body(client, messages, **kwargs)
        if body is not None:
            answer = await _post(client, self.server, GENERATE, body)
            with failures(self.server):
                reply = await _reply(client, self.server, answer["prompt_token_ids"], answer["choices"][0])
                return to_result(reply, self.model_name)
        return await self._chat_completions._agenerate(messages, stop, None, **_completion_options(**kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        client = _client(self.server)
        body = await self._body(client, messages, **kwargs)
        if body is not None:
            async for chunk in _streamed(client, self.server, body):
                yield chunk
            return
        async for chunk in self._chat_completions._astream(messages, stop, None, **_completion_options(**kwargs)):
            yield chunk

    async def _body(
        self,
        client: httpx.AsyncClient,
        messages: Sequence[BaseMessage],
        tools: ToolSchemas = (),
        grammar: str | None = None,
        **_: Any,
    ) -> dict[str, Any] | None:
        """The request for a turn by ids; None if the server must be used through chat completions."""
        vocabulary = await _vocabulary(client, self.server)
        if vocabulary is None:
            return None
        prompt = build_prompt(messages, tools, chat_template.render, vocabulary.fingerprint)
        added = await _tokens(client, self.server, {"prompt": prompt.added_text, "add_special_tokens": False})
        constraint = {} if grammar is None else {"structured_outputs": {"grammar": grammar}}
        return {
            "model": self.server.model,
            # The server expands each pad to the number of features of its image.
            "token_ids": [*_unexpanded(with_end(prompt.known_ids, vocabulary.end), vocabulary.pad), *added],
            "content_parts": [
                {"type": "image_url", "url": f"data:image/jpeg;base64,{image}"} for image in prompt.images
            ],
            "sampling_params": {
                "temperature": self.temperature,
                # A different seed for each turn: with the same one, a corrected turn could repeat its mistake.
                **({"seed": ((self.seed << 10) + len(messages)) % 2**63} if self.temperature else {}),
                "max_tokens": self.max_new_tokens,
                "logprobs": 0,
                "skip_special_tokens": False,
                "logit_bias": dict.fromkeys(map(str, vocabulary.vision), -100.0),
                **constraint,
            },
            "return_token_ids": True,
            "output_mode": "text",
        }


def _completion_options(tools: ToolSchemas = (), grammar: str | None = None, **_: Any) -> dict[str, Any]:
    """The options of a turn by chat completions: without the grammar, which the server may not support."""
    return {"tools": list(tools)} if tools else {}


async def _reply(
    client: httpx.AsyncClient, server: Server, read: Sequence[int], choice: Mapping[str, Any]
) -> TokenReply:
    ids = choice["token_ids"]
    text = choice.get("text")
    if text is None:
        # Before vLLM 0.32 the route returns ids only.
        body = {"model": server.model, "tokens": ids}
        text = (await retried(lambda: _post(client, server, "/detokenize", body)))["prompt"]
    vocabulary = await _vocabulary(client, server)
    return TokenReply(
        read,
        ids,
        logprobs(choice, ids),
        text.removesuffix(END),
        vocabulary.fingerprint if vocabulary else "",
        choice.get("finish_reason") == "length",
    )


async def _streamed(
    client: httpx.AsyncClient, server: Server, body: Mapping[str, Any]
) -> AsyncIterator[ChatGenerationChunk]:
    stream = ReplyStream()
    read: list[int] = []
    choice_so_far: dict[str, Any] = {"token_ids": [], "logprobs": {"content": []}}
    with failures(server):
        async for part in _parts(client, server, body):
            read = part.get("prompt_token_ids") or read
            for choice in part["choices"]:
                choice_so_far["token_ids"] += choice["token_ids"] or []
                choice_so_far["logprobs"]["content"] += (choice.get("logprobs") or {}).get("content") or []
                choice_so_far["finish_reason"] = choice.get("finish_reason")
                if "text" in choice:
                    choice_so_far["text"] = choice_so_far.get("text", "") + choice["text"]
                    if (chunk := stream.add(choice["text"].removesuffix(END))) is not None:
                        yield chunk
        end = stream.end(to_result(await _reply(client, server, read, choice_so_far), server.model))
    yield end


async def _parts(client: httpx.AsyncClient, server: Server, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The parts of a streamed turn up to its last one, whether or not the connection breaks after that."""
    is_whole = False
    try:
        async with client.stream("POST", GENERATE, json={**body, "stream": True}) as response:
            if response.is_error:
                await response.aread()
                _refuse(server, response)
            async for line in response.aiter_lines():
                if not line.startswith("data:") or line == "data: [DONE]":
                    continue
                part = json.loads(line.removeprefix("data:"))
                if "error" in part:
                    raise interrupted(server.url, str(part["error"]))
                is_whole = is_whole or any(choice.get("finish_reason") for choice in part["choices"])
                yield part
    except httpx.TransportError:
        if not is_whole:
            raise
    if not is_whole:
        raise broken_off(server.url, "ended its answer early; try again")


_vocabularies: Final[dict[Server, Vocabulary | None]] = {}
"""By server, once probed; None for a server that must be used through chat completions."""


async def _vocabulary(client: httpx.AsyncClient, server: Server) -> Vocabulary | None:
    if server not in _vocabularies:
        _vocabularies[server] = await _probed(client, server)
    return _vocabularies[server]


async def _probed(client: httpx.AsyncClient, server: Server) -> Vocabulary | None:
    """The vocabulary of a server that takes ids and images and renders conversations like this package; else None."""

    async def ask() -> httpx.Response:
        with failures(server):
            # An invalid value: a server that supports `content_parts` rejects it; one that answers would ignore images.
            parts = {"token_ids": [0], "content_parts": 0, "sampling_params": {"max_tokens": 1}}
            return await client.post(GENERATE, json={"model": server.model, **parts})

    known = await retried(ask)
    if known.status_code not in (400, 422):
        return None
    names = (END, *VISION_TOKENS)
    sample = await _tokens(client, server, {"prompt": SAMPLE, "add_special_tokens": False})
    found = await _tokens(client, server, {"prompt": "".join(names), "add_special_tokens": False})
    if len(found) != len(names):
        return None
    chat, tools = _PROBE
    ours = await _tokens(
        client, server, {"prompt": chat_template.render(chat, tools, ask=True), "add_special_tokens": False}
    )
    with_tools = await _tokens(client, server, {"messages": chat, "tools": tools})
    without = await _tokens(client, server, {"messages": chat})
    # Qwen2.5-VL's own template ignores tools; otherwise it writes what this package's does.
    if ours == with_tools or (with_tools == without):
        return Vocabulary(fingerprint(sample), found[0], found[1], tuple(found[1:]))
    return None


async def _tokens(client: httpx.AsyncClient, server: Server, what: Mapping[str, Any]) -> list[int]:
    answer = await retried(lambda: _post(client, server, "/tokenize", {"model": server.model, **what}))
    with failures(server):
        return [int(token) for token in answer["tokens"]]


async def _post(client: httpx.AsyncClient, server: Server, route: str, body: Mapping[str, Any]) -> Any:
    with failures(server):
        response = await client.post(route, json=body)
        if response.is_error:
            _refuse(server, response)
        return response.json()


def _refuse(server: Server, response: httpx.Response) -> NoReturn:
    """Raise the error of a rejected request; if the route is gone, the server is probed again at the next request."""
    if response.status_code in (403, 404, 405):
        _vocabularies.pop(server, None)
    raise refusal(server.url, server.backend, response.status_code, response.text)


@lru_cache(maxsize=16)
def _client(server: Server) -> httpx.AsyncClient:
    return LoopwiseClient(
        base_url=server.url.rstrip("/").removesuffix("/v1"),
        headers={"Authorization": f"Bearer {server.key}"},
        timeout=httpx.Timeout(MAX_SECONDS, connect=CONNECT_SECONDS),
    )


def _unexpanded(ids: Sequence[int], pad: int) -> list[int]:
    """The ids with a single pad for each image."""
    return [token for before, token in zip((None, *ids), ids, strict=False) if not token == before == pad]
