"""Replies that were cut off at the token limit."""

from __future__ import annotations

from typing import Any, Final

from langchain_core.messages import AIMessage

from ..usage import token_count

_CUT: Final = {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
"""Why a reply ended, in the words of OpenAI, vLLM, DashScope and Ollama; Anthropic; Google; Mistral."""


def is_cut(reply: AIMessage) -> bool:
    """Whether a reply ended because it reached the token limit."""
    told = reply.response_metadata
    incomplete = told.get("incomplete_details")
    reasons = [told.get(key) for key in ("finish_reason", "stop_reason", "done_reason")]
    reasons.append(incomplete.get("reason") if isinstance(incomplete, dict) else None)
    return any(isinstance(reason, str) and reason.rpartition(".")[2].casefold() in _CUT for reason in reasons)


def token_limit(reply: AIMessage) -> str:
    """The limit at which a reply was cut, and the option that raises it."""
    used: Any = reply.usage_metadata
    count = token_count(used.get("output_tokens")) if isinstance(used, dict) else None
    limit = f"the limit of {count} tokens" if count else "the token limit"
    return f"the reply was cut off at {limit}; raise it with max_tokens, as in ?max_tokens=4096 after the policy's name"
