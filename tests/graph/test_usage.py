"""Time, tokens and cost of a run."""

from typing import Any

from langchain_core.messages import AIMessage

from video_star.graph.state import Price
from video_star.graph.usage import NodeUsage


def test_the_price_applies_to_all_tokens_and_a_node_without_a_price_keeps_the_cost() -> None:
    used = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "input_token_details": {"cache_read": 4}}
    price = Price(input=0.1, output=0.1)
    state: dict[str, Any] = {}
    for _ in range(3):
        usage = NodeUsage("score", state, price)  # type: ignore[arg-type]
        usage.add_reply(AIMessage("a", usage_metadata=used))
        state = usage.update()
    assert state["usage"]["tokens"] == {"input": 21, "output": 9, "cached": 12}
    assert state["usage"]["cost"] == {"amount": 3e-6, "currency": "USD"}
    assert NodeUsage("fuse", state).update()["usage"]["cost"] == state["usage"]["cost"]  # type: ignore[arg-type]
    assert NodeUsage("score", state).update(fresh=True)["usage"]["cost"] is None  # type: ignore[arg-type]


def test_costs_that_the_provider_reports_add_up() -> None:
    state: dict[str, Any] = {}
    for node in ("decompose", "score"):
        usage = NodeUsage(node, state)  # type: ignore[arg-type]
        for _ in range(2):
            usage.add_reply(AIMessage("a", response_metadata={"token_usage": {"cost": 0.25}}))
        state = usage.update()
    assert state["usage"]["cost"] == {"amount": 1.0, "currency": "USD"}


def test_time_and_tokens_add_up_over_nodes() -> None:
    used = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    first = NodeUsage("score", {})  # type: ignore[typeddict-item]
    first.add_reply(AIMessage("a", usage_metadata=used))
    state = first.update(fresh=True)
    again = NodeUsage("score", state)  # type: ignore[arg-type]
    again.add_reply(AIMessage("b"))
    kept = again.update()
    assert kept["usage"]["policy_calls"] == 2 and kept["usage"]["tokens"] == {"input": 7, "output": 3}
    assert [timing["node"] for timing in kept["timings"]] == ["score", "score"] and kept["began"] == state["began"]
    assert kept["usage"]["seconds"]["score"] >= 0
