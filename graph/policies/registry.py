"""Policies by name: one string names the chat model that speaks in the conversation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from ...tools.errors import MissingExtra, UnknownPolicy

EMBEDDED: Final = "kinematic"
OPTIONS: Final[dict[str, tuple[str, str]]] = {
    "tools": ("prompted", ""),
    "max_tokens": (r"[1-9]\d{0,6}", ""),
    "quantize": ("4bit|8bit", "transformers"),
    "api": ("compatible", "dashscope"),
}
"""Options at the end of a spec: what each may be, and the one provider that takes it, or none named for all."""


@lru_cache(maxsize=16)
def resolve_policy(spec: str, temperature: float = 0.0, seed: int = 0) -> BaseChatModel:
    """The chat model that `spec` names.

    Args:
        spec: `kinematic`, the embedded policy; `vllm:<model>@<url>`; `dashscope:<model>`;
            `transformers:<folder or id>`; or `provider:model` as LangChain's `init_chat_model` takes it. Options may
            follow, as in `?tools=prompted&max_tokens=512`:
            tools=prompted: tools go to the model as text; without, they do once its server refuses them.
            max_tokens: most tokens of a turn; 2048 where not given, or the server's own limit.
            quantize=4bit or 8bit: weights in so many bits (transformers).
            api=compatible: DashScope's OpenAI-compatible mode instead of its own SDK.
        temperature: Sampling temperature of a chat model; left out where the model is known to take none.
        seed: Seed of the sampling of vLLM, DashScope, Gemini and Ollama; the embedded policy does not sample.

    Raises:
        UnknownPolicy: `spec` names no policy, or its key is not set.
        MissingExtra: The provider's package is not installed.
    """
    if spec == EMBEDDED:
        from .kinematic.policy import KinematicPolicy

        return KinematicPolicy()
    named, _, given = spec.partition("?")
    provider, _, model = named.partition(":")
    if not provider or not model:
        raise UnknownPolicy(
            f"there is no policy {spec[:80]!r}; use {EMBEDDED!r}, vllm:<model>@<url>, dashscope:<model>, "
            "transformers:<folder>, or provider:model such as openai:gpt-4.1"
        )
    options = _options(spec, provider, given)
    from .prompted_tools import ToolFallback

    chosen = _chat_model(provider, model, temperature, seed, options)
    streams = type(chosen)._astream is not BaseChatModel._astream and not chosen.disable_streaming
    return ToolFallback(
        model=chosen, spec=spec, prompted="tools" in options, disable_streaming=not streams, profile=chosen.profile
    )


def _options(spec: str, provider: str, given: str) -> dict[str, str]:
    options = dict(parse_qsl(given, keep_blank_values=True))
    if bool(given) != bool(options):
        raise UnknownPolicy(f"the policy {spec[:80]!r} ends in no options; write them like ?tools=prompted")
    for name, value in options.items():
        form, only = OPTIONS.get(name, ("", ""))
        if not form or only not in ("", provider) or not re.fullmatch(form, value):
            there = ", ".join(f"{key}=({may})" for key, (may, whose) in OPTIONS.items() if whose in ("", provider))
            raise UnknownPolicy(f"the policy {spec[:80]!r} has an unknown option {name!r}; {provider} takes {there}")
    return options


def _chat_model(provider: str, model: str, temperature: float, seed: int, options: Mapping[str, str]) -> BaseChatModel:
    limit: dict[str, Any] = {"max_new_tokens": int(options["max_tokens"])} if "max_tokens" in options else {}
    if provider == "vllm":
        from .openai_compatible import vllm_server
        from .vllm import VllmPolicy

        return VllmPolicy(server=vllm_server(model), temperature=temperature, seed=seed, **limit)
    if provider == "dashscope" and "api" in options:
        from .openai_compatible import dashscope_server, served_model

        return served_model(dashscope_server(model), temperature, seed, *limit.values())
    if provider == "dashscope":
        from . import dashscope

        return dashscope.make(model, temperature, seed, *limit.values())
    if provider == "transformers":
        from .local import TransformersPolicy

        quantize: Any = options.get("quantize")
        return TransformersPolicy(path=model, temperature=temperature, quantize=quantize, **limit)
    spec = f"{provider}:{model}"
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise MissingExtra(f"the policy {spec!r} needs LangChain; install it: pip install 'video-star[api]'") from None
    more = _own_settings(provider, seed)
    if limit:
        more[_LIMIT_NAMES.get(provider, "max_tokens")] = limit["max_new_tokens"]
    try:
        chosen: BaseChatModel = init_chat_model(model, model_provider=provider, temperature=temperature, **more)
        if (chosen.profile or {}).get("temperature") is False:
            chosen = init_chat_model(model, model_provider=provider, **more)
    except ImportError as error:
        raise MissingExtra(f"the policy {spec!r} needs another package: {error}") from error
    except Exception as error:
        raise UnknownPolicy(f"the policy {spec!r} cannot be made: {str(error)[:300]}") from error
    for name, variable in chosen.lc_secrets.items():
        key = getattr(chosen, name, None)
        if isinstance(key, SecretStr) and not key.get_secret_value():
            raise UnknownPolicy(f"the policy {spec!r} needs a key; set the variable {variable}")
    return chosen


_LIMIT_NAMES: Final = {"google_genai": "max_output_tokens", "ollama": "num_predict"}
"""What the most tokens of a turn are called where it is not `max_tokens`."""
_CLOSE: Final = {"Connection": "close"}
"""For clients that take no pool of ours: a connection that is kept fails on another event loop than its own."""


def _own_settings(provider: str, seed: int) -> dict[str, Any]:
    """What a provider's client takes besides model, temperature and limit, so that only the graph tries again."""
    if provider == "openai":
        from .connections import LoopwiseClient

        return {"max_retries": 0, "http_async_client": LoopwiseClient(follow_redirects=True)}
    if provider == "anthropic":
        return {"max_retries": 0, "default_headers": _CLOSE}
    if provider == "google_genai":
        # It counts the first try, and takes 0 for "as often as usual".
        return {"max_retries": 1, "seed": seed, "additional_headers": _CLOSE}
    if provider == "ollama":
        return {"seed": seed, "client_kwargs": {"headers": _CLOSE}}
    return {"max_retries": 0}
