"""Policies by name: one string names the chat model that speaks in the conversation."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from langchain_core.language_models import BaseChatModel

from ..tools.errors import MissingExtra, UnknownPolicy

EMBEDDED: Final = "kinematic"


@lru_cache(maxsize=16)
def resolve_policy(spec: str, temperature: float = 0.0, seed: int = 0) -> BaseChatModel:
    """The chat model that `spec` names.

    Args:
        spec: `kinematic`, the embedded policy, or `provider:model` as LangChain's `init_chat_model` takes it.
        temperature: Sampling temperature of a chat model.
        seed: Not used by the embedded policy, which does not sample.

    Raises:
        UnknownPolicy: `spec` names no policy.
        MissingExtra: The provider's package is not installed.
    """
    if spec == EMBEDDED:
        from .kinematic.policy import KinematicPolicy

        return KinematicPolicy()
    provider, _, model = spec.partition(":")
    if not provider or not model:
        raise UnknownPolicy(
            f"there is no policy {spec[:80]!r}; use {EMBEDDED!r}, or provider:model such as openai:gpt-4.1"
        )
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise MissingExtra(f"the policy {spec!r} needs LangChain; install it: pip install 'video-star[api]'") from None
    try:
        chosen: BaseChatModel = init_chat_model(model, model_provider=provider, temperature=temperature, max_retries=0)
    except ImportError as error:
        raise MissingExtra(f"the policy {spec!r} needs another package: {error}") from error
    except Exception as error:
        raise UnknownPolicy(f"the policy {spec!r} cannot be made: {str(error)[:300]}") from error
    return chosen
