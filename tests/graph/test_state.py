"""Settings and statuses."""

from typing import Any

from video_star.graph import Context
from video_star.graph.state import Price, worst

SAVED: dict[str, Any] = {
    "policy": "kinematic",
    "mode": "agentic",
    "tools": ["detect_people", "estimate_pose", "track_motion", "explain_actions", "describe_video"],
    "describer": "embedded",
    "explainer": "embedded",
    "max_rounds": 1,
    "frames": 16,
    "pixels": 100352,
    "policy_seconds": 120.0,
    "tool_seconds": 60.0,
    "temperature": 0.0,
    "seed": 0,
    "structured": "auto",
    "reasoning": 1000,
    "price": None,
}
"""The settings of an assistant that version 0.1.0 saved."""


def test_settings_saved_by_version_0_1_0_are_still_the_defaults() -> None:
    assert Context.model_validate(SAVED) == Context() and Context().model_dump() == SAVED


def test_a_saved_price_is_still_read() -> None:
    saved = {"input": 0.8, "output": 3.2, "cached": 0.2, "currency": "EUR"}
    price = Context.model_validate({**SAVED, "price": saved}).price
    assert price == Price(input=0.8, output=3.2, cached=0.2, currency="EUR")
    assert price is not None and price.of({"input": 1000, "output": 100, "cached": 500}) == 0.00082


def test_the_worst_status_wins() -> None:
    assert (
        worst("ok", "degraded") == "degraded" and worst("failed", "degraded", "ok") == "failed" and worst("ok") == "ok"
    )
