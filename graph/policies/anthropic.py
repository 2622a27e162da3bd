"""Anthropic's models through LangChain's client."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from langchain_core.outputs import ChatResult

from ..usage import token_count


@lru_cache(maxsize=1)
def anthropic_client() -> Any:
    """LangChain's client class, which also reads replies whose token counts are not integers."""
    from langchain_anthropic import ChatAnthropic

    class AnthropicModel(ChatAnthropic):
        def _format_output(self, data: Any, **kwargs: Any) -> ChatResult:
            usage = getattr(data, "usage", None)
            for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
                if hasattr(usage, name):
                    setattr(usage, name, token_count(getattr(usage, name)) or 0)
            return super()._format_output(data, **kwargs)

    return AnthropicModel
