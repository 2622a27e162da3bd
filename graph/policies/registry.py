"""Policies by name: a spec such as `vllm:<model>@<url>` names the chat model that acts as the policy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import parse_qsl

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from ...tools.errors import MissingExtra, UnknownPolicy

EMBEDDED: Final = "kinematic"
"""The policy that needs no model."""


@dataclass(frozen=True)
class Option:
    """An option at the end of a spec, as in `?tools=prompted&max_tokens=512`."""

    values: str
    """Pattern of its values."""
    provider: str | None = None
    """The only provider that accepts it; None: every provider."""


OPTIONS: Final[Mapping[str, Option]] = {
    "tools": Option("prompted"),
    "max_tokens": Option(r"[1-9]\d{0,6}"),
    "quantize": Option("4bit|8bit", "transformers"),
    "api": Option("compatible", "dashscope"),
}
"""By name; `resolve_policy` documents their meaning."""


@dataclass(frozen=True)
class Spec:
    """A parsed spec: `provider:model?options`."""

    text: str
    provider: str
    model: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Parse a spec.

        Raises:
            UnknownPolicy: It has no provider or model, or an option that the provider does not accept.
        """
        name, _, given = text.partition("?")
        provider, _, model = name.partition(":")
        if not provider or not model:
            raise UnknownPolicy(
                f"there is no policy {text[:80]!r}; use {EMBEDDED!r}, vllm:<model>@<url>, dashscope:<model>, "
                "transformers:<folder>, or provider:model such as openai:gpt-4.1"
            )
        options = dict(parse_qsl(given, keep_blank_values=True))
        if bool(given) != bool(options):
            raise UnknownPolicy(f"the options of policy {text[:80]!r} cannot be read; write them like ?tools=prompted")
        accepted = {key: option for key, option in OPTIONS.items() if option.provider in (None, provider)}
        for key, value in options.items():
            if key not in accepted or not re.fullmatch(accepted[key].values, value):
                known = ", ".join(f"{name}=({option.values})" for name, option in accepted.items())
                raise UnknownPolicy(
                    f"policy {text[:80]!r}: there is no option {key[:40]}={value[:40]}; {provider} accepts {known}"
                )
        return cls(text, provider, model, options)

    @property
    def max_tokens(self) -> int | None:
        """Maximum number of tokens of one turn, if it is set."""
        return int(self.options["max_tokens"]) if "max_tokens" in self.options else None


@lru_cache(maxsize=16)
def resolve_policy(spec: str, temperature: float = 0.0, seed: int = 0) -> BaseChatModel:
    """The chat model that `spec` names; the same object for the same arguments.

    Args:
        spec: `kinematic`, the embedded policy; `vllm:<model>@<url>`; `dashscope:<model>`;
            `transformers:<folder or Hugging Face id>`; or `provider:model` as in LangChain's `init_chat_model`.
            Options may follow, as in `?tools=prompted&max_tokens=512`:
            tools=prompted: tools are sent as text; by default only after the server has rejected them.
            max_tokens: maximum number of tokens of one turn; default: 2048, or the server's limit.
            quantize=4bit or 8bit: quantized weights (transformers).
            api=compatible: DashScope's OpenAI-compatible API instead of the native one.
        temperature: Sampling temperature; not sent to models that are known to accept none.
        seed: Sampling seed, for vLLM, DashScope, Gemini and Ollama. The embedded policy does not sample.

    Raises:
        UnknownPolicy: `spec` names no policy, or its API key is not set.
        MissingExtra: The provider's package is not installed.

    Example:
        >>> resolve_policy("kinematic")._llm_type
        'kinematic'
    """
    if spec == EMBEDDED:
        from .kinematic.policy import KinematicPolicy

        return KinematicPolicy()
    from .prompted_tools import ToolFallback

    parsed = Spec.parse(spec)
    model = _MAKERS.get(parsed.provider, _langchain)(parsed, temperature, seed)
    return ToolFallback(model=model, spec=spec, prompted="tools" in parsed.options, profile=model.profile)


def _vllm(spec: Spec, temperature: float, seed: int) -> BaseChatModel:
    from .openai_compatible import vllm_server
    from .vllm import VllmPolicy

    limit: dict[str, Any] = {} if spec.max_tokens is None else {"max_new_tokens": spec.max_tokens}
    return VllmPolicy(server=vllm_server(spec.model), temperature=temperature, seed=seed, **limit)


def _dashscope(spec: Spec, temperature: float, seed: int) -> BaseChatModel:
    if "api" in spec.options:
        from .openai_compatible import dashscope_server, served_model

        return served_model(dashscope_server(spec.model), temperature, seed, spec.max_tokens)
    from . import dashscope

    return dashscope.make(spec.model, temperature, seed, spec.max_tokens)


def _transformers(spec: Spec, temperature: float, seed: int) -> BaseChatModel:
    from .local import TransformersPolicy

    limit: dict[str, Any] = {} if spec.max_tokens is None else {"max_new_tokens": spec.max_tokens}
    quantize: Any = spec.options.get("quantize")
    return TransformersPolicy(path=spec.model, temperature=temperature, quantize=quantize, **limit)


_MAKERS: Final[Mapping[str, Callable[[Spec, float, int], BaseChatModel]]] = {
    "vllm": _vllm,
    "dashscope": _dashscope,
    "transformers": _transformers,
}
"""By provider; every other provider is one of LangChain's."""


def _langchain(spec: Spec, temperature: float, seed: int) -> BaseChatModel:
    name = f"{spec.provider}:{spec.model}"
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise MissingExtra(f"the policy {name!r} needs LangChain; install it: pip install 'video-star[api]'") from None
    settings = _client_settings(spec.provider, seed)
    if spec.max_tokens is not None:
        settings[_MAX_TOKENS_NAMES.get(spec.provider, "max_tokens")] = spec.max_tokens
    make: Callable[..., BaseChatModel] = partial(init_chat_model, spec.model, model_provider=spec.provider)
    try:
        if spec.provider == "openai":
            from .openai_compatible import openai_client

            make = partial(openai_client(), model=spec.model)
        if spec.provider == "anthropic":
            from .anthropic import anthropic_client

            make = partial(anthropic_client(), model=spec.model)
        model: BaseChatModel = make(temperature=temperature, **settings)
        if (model.profile or {}).get("temperature") is False:
            model = make(**settings)
    except ImportError as error:
        raise MissingExtra(f"the policy {name!r} needs another package: {error}") from error
    except Exception as error:
        raise UnknownPolicy(f"the policy {name!r} cannot be created: {str(error)[:300]}") from error
    for field, variable in model.lc_secrets.items():
        key = getattr(model, field, None)
        if isinstance(key, SecretStr) and not key.get_secret_value():
            raise UnknownPolicy(f"the policy {name!r} needs an API key; set the variable {variable}")
    return model


_MAX_TOKENS_NAMES: Final = {"google_genai": "max_output_tokens", "ollama": "num_predict"}
"""What a provider's client calls `max_tokens`, if it has another name for it."""
_CLOSE: Final = {"Connection": "close"}
"""For clients that do not accept a connection pool of ours: a kept connection would fail on another event loop."""


def _client_settings(provider: str, seed: int) -> dict[str, Any]:
    """Settings of a provider's client besides model, temperature and token limit: no retries, which the graph makes."""
    if provider == "openai":
        from .connections import LoopwiseClient

        return {"max_retries": 0, "http_async_client": LoopwiseClient(follow_redirects=True)}
    if provider == "anthropic":
        return {"max_retries": 0, "default_headers": _CLOSE}
    if provider == "google_genai":
        # The client counts the first attempt, and takes 0 as its default number of retries.
        return {"max_retries": 1, "seed": seed, "additional_headers": _CLOSE}
    if provider == "ollama":
        return {"seed": seed, "client_kwargs": {"headers": _CLOSE}}
    return {"max_retries": 0}
