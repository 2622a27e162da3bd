"""Time, tokens and cost of a run, added up node by node."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage

from .state import Price, State


class NodeUsage:
    """Time, tokens and cost of one execution of a node."""

    def __init__(self, node: str, state: State, price: Price | None = None) -> None:
        """Start measuring.

        Args:
            node: Name of the node.
            state: State on entry; `update` adds to its usage and timings.
            price: Price of the policy's tokens, if known.
        """
        self.node = node
        self._state = state
        self._price = price
        self._unix, self._clock = time.time(), time.perf_counter()
        self._calls = 0
        self._tokens: dict[str, int] = {}
        self._tool_tokens: dict[str, int] = {}
        self._reported: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the node was entered."""
        return time.perf_counter() - self._clock

    def add_reply(self, reply: AIMessage) -> None:
        """Add one policy turn: its tokens, and its cost if the provider reports one."""
        self._calls += 1
        used: Any = reply.usage_metadata
        if isinstance(used, dict):
            details = used.get("input_token_details")
            cached = details.get("cache_read") if isinstance(details, dict) else None
            given = {"input": used.get("input_tokens"), "output": used.get("output_tokens"), "cached": cached}
            counts = {kind: token_count(value) for kind, value in given.items()}
            _add(self._tokens, {kind: count for kind, count in counts.items() if count is not None})
        reported = reply.response_metadata.get("token_usage")
        cost = reported.get("cost") if isinstance(reported, dict) else None
        if isinstance(cost, int | float) and math.isfinite(cost):
            self._reported = (self._reported or 0.0) + cost

    def add_tool_tokens(self, tokens: Mapping[str, int]) -> None:
        """Add tokens of a chat model behind a tool. They are kept apart, because they have another price."""
        _add(self._tool_tokens, tokens)

    def update(self, *, fresh: bool = False) -> dict[str, Any]:
        """The state update with the usage and timings of the run so far; `fresh` starts both from zero."""
        began = self._unix if fresh else self._state.get("began", self._unix)
        timings = [] if fresh else list(self._state.get("timings", ()))
        usage = {} if fresh else self._state.get("usage") or {}
        seconds = round(self.seconds, 4)
        timings.append({"node": self.node, "start": round(max(0.0, self._unix - began), 4), "seconds": seconds})
        tokens = _add(dict(usage.get("tokens", {"input": 0, "output": 0})), self._tokens)
        tool_tokens = _add(dict(usage.get("tool_tokens", {})), self._tool_tokens)
        by_node = dict(usage.get("seconds", {}))
        by_node[self.node] = round(by_node.get(self.node, 0.0) + seconds, 4)
        return {
            "began": began,
            "timings": timings,
            "usage": {
                "policy_calls": usage.get("policy_calls", 0) + self._calls,
                "tokens": tokens,
                **({"tool_tokens": tool_tokens} if tool_tokens else {}),
                "cost": self._cost(tokens, usage.get("cost")),
                "seconds": by_node,
            },
        }

    def _cost(self, tokens: Mapping[str, int], before: dict[str, Any] | None) -> dict[str, Any] | None:
        """{amount, currency} of the run so far: by the price of all its tokens, or else as reported."""
        if self._price is not None:
            return {"amount": round(self._price.of(tokens), 6), "currency": self._price.currency}
        if self._reported is None:
            return before
        # OpenRouter, the provider that reports a cost, reports it in US dollars.
        return {"amount": round((before["amount"] if before else 0.0) + self._reported, 6), "currency": "USD"}


def token_count(value: Any) -> int | None:
    """A number of tokens as a server reports it, also as text or with decimals; None for anything else."""
    try:
        count = None if value is None or isinstance(value, bool) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return count if count is None or count >= 0 else None


def _add(totals: dict[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    for kind, count in counts.items():
        totals[kind] = totals.get(kind, 0) + count
    return totals
