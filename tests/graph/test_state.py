"""Settings and statuses."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from video_star.graph import Context, graph
from video_star.graph.run import checked_context
from video_star.graph.state import Price, worst
from video_star.tools.errors import BadInput

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


def test_an_unknown_setting_is_refused_by_its_name() -> None:
    for context, name in (
        ({"frmes": 4}, "frmes"),
        ({"max_rounds": 2, "Frames": 4}, "Frames"),
        ({"": 1}, ""),
        ({"video": "clip.mp4"}, "video"),
        ({"\x1b[2J{known}": 1}, r"\x1b[2J{known}"),
    ):
        known = f"there is no setting '{name}'; the settings are policy, mode, tools, "
        with pytest.raises(ValidationError) as refused:
            Context.model_validate(context)
        assert known in str(refused.value)
        with pytest.raises(BadInput) as caught:
            checked_context(context)
        assert str(caught.value).startswith(known)
    with pytest.raises(BadInput, match="setting price: there is no setting 'inputs'; the settings are input, output, "):
        checked_context({"price": {"inputs": 1, "output": 1}})


def test_a_server_drops_only_names_of_its_own_from_the_context() -> None:
    properties = (graph.get_context_jsonschema() or {})["properties"]
    assert list(properties) == list(SAVED) == list(json.loads(json.dumps(properties)))
    assert all(name in properties for name in (*SAVED, "frmes", "Policy", "policy "))
    assert not any(name in properties for name in ("thread_id", "checkpoint_ns", "__event_streaming_v2__"))


def test_the_worst_status_wins() -> None:
    assert (
        worst("ok", "degraded") == "degraded" and worst("failed", "degraded", "ok") == "failed" and worst("ok") == "ok"
    )
