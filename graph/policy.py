"""Policies by name: one string names the chat model that speaks in the conversation."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from langchain_core.language_models import BaseChatModel

from ..tools.errors import MissingExtra, UnknownPolicy

EMBEDDED: Final = "kinematic"
PROMPTED: Final = "tools=prompted"


@lru_cache(maxsize=16)
def resolve_policy(spec: str, temperature: float = 0.0, seed: int = 0) -> BaseChatModel:
    """The chat model that `spec` names.

    Args:
        spec: `kinematic`, the embedded policy; `vllm:<model>@<url>`; `dashscope:<model>`;
            `transformers:<folder or id>`; or `provider:model` as LangChain's `init_chat_model` takes it. With
            `?tools=prompted` at its end, tools go to the model as text; without, they do once its server refuses them.
        temperature: Sampling temperature of a chat model.
        seed: Seed of the sampling of vLLM and DashScope; the embedded policy does not sample.

    Raises:
        UnknownPolicy: `spec` names no policy, or its key is not set.
        MissingExtra: The provider's package is not installed.
    """
    if spec == EMBEDDED:
        from .kinematic.policy import KinematicPolicy

        return KinematicPolicy()
    named, asks, option = spec.partition("?")
    provider, _, model = named.partition(":")
    if not provider or not model:
        raise UnknownPolicy(
            f"there is no policy {spec[:80]!r}; use {EMBEDDED!r}, vllm:<model>@<url>, dashscope:<model>, "
            "transformers:<folder>, or provider:model such as openai:gpt-4.1"
        )
    if asks and option != PROMPTED:
        raise UnknownPolicy(f"the policy {spec[:80]!r} ends in an unknown option; the one there is is ?{PROMPTED}")
    from .policies.prompted import AnyTools

    chosen = _chat_model(provider, model, temperature, seed)
    streams = type(chosen)._astream is not BaseChatModel._astream and not chosen.disable_streaming
    return AnyTools(model=chosen, spec=spec, prompted=bool(asks), disable_streaming=not streams)


def _chat_model(provider: str, model: str, temperature: float, seed: int) -> BaseChatModel:
    if provider in ("vllm", "dashscope"):
        from .policies.served import dashscope_server, served_model, vllm_server

        server = vllm_server(model) if provider == "vllm" else dashscope_server(model)
        return served_model(server, temperature, seed)
    if provider == "transformers":
        from .policies.in_process import TransformersPolicy

        return TransformersPolicy(path=model, temperature=temperature)
    spec = f"{provider}:{model}"
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise MissingExtra(f"the policy {spec!r} needs LangChain; install it: pip install 'video-star[api]'") from None
    # The client is kept for the next run, whose event loop cannot use a connection of this one's.
    closing: dict[str, Any] = {"default_headers": {"Connection": "close"}} if provider == "openai" else {}
    try:
        chosen: BaseChatModel = init_chat_model(
            model, model_provider=provider, temperature=temperature, max_retries=0, **closing
        )
    except ImportError as error:
        raise MissingExtra(f"the policy {spec!r} needs another package: {error}") from error
    except Exception as error:
        raise UnknownPolicy(f"the policy {spec!r} cannot be made: {str(error)[:300]}") from error
    return chosen
