"""What rules read in a summary is what was measured, and nothing else in a text can pass for it."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_star.graph.policies.kinematic.reading import read_definitions, read_measurements
from video_star.tools.marked_json import marked_json
from video_star.tools.motion.measurements import Measurements
from video_star.tools.motion.motion_result import MeasuredPrimitive, Motion, ObjectEvent, Repetition
from video_star.tools.motion_primitives import PRIMITIVES

OLD = """1 person from 0.0 to 3.0 s in 24 frames. The camera is still.
OBSERVED, with support from 0 to 1:
- steps 0.90, 0.0 to 3.0 s, person 1: the legs swing alternately in steps
- travel 0.80, 0.0 to 3.0 s, person 1: the body moves across the scene
NOT SEEN: jump, kick, travel_fast, stay_in_place, wave"""
"""A summary of version 0.1."""


def motion() -> Motion:
    support = np.linspace(0, 1, len(PRIMITIVES) - 1).tolist()
    primitives = [MeasuredPrimitive(n, s, 0.51, 1.49, 1) for n, s in zip(list(PRIMITIVES)[:-1], support, strict=True)]
    repetitions = (Repetition("object", 1, 5, 0.6, 0.5, 3.5), Repetition("person", 2, 1, 0.9, 0.1, 1.0))
    events = (ObjectEvent("thing_moves_left", 0.2), ObjectEvent("thing_moves_left", 0.53))
    return Motion((0.0, 1.0, 2.0), tuple(primitives), repetitions=repetitions, events=events)


def test_a_summary_reads_back_as_what_was_measured_within_any_text() -> None:
    summary = motion().summary()
    assert read_measurements(f"Before.\n{summary}\nAfter.") == motion().measurements() == read_measurements(summary)
    assert read_measurements("nothing of the kind") == read_measurements("") == Measurements()


def test_measurements_tell_what_started_when_and_what_could_not_be_measured() -> None:
    found = motion().measurements()
    assert found.other_starts == {"thing_moves_left": (0.2,)} and found.not_measured == (list(PRIMITIVES)[-1],)
    assert found.order[0] == ("thing_moves_left", 0.2) and ("thing_moves_left", 0.5) in found.order
    assert list(found.support.values()) == sorted(found.support.values(), reverse=True)
    assert [row.by for row in found.repeated] == ["object 1", "person 2"]


def test_a_summary_says_nothing_twice() -> None:
    summary = motion().summary()
    assert all(summary.count(f'"{name}"') == 1 for name in PRIMITIVES if name != "thing_moves_left")
    assert summary.split("\n")[-1].startswith("MEASURED (JSON): ")


def test_summaries_of_before_are_read() -> None:
    found = read_measurements(OLD)
    assert found.support == {"steps": 0.9, "travel": 0.8} and found.spans["steps"] == (0.0, 3.0)
    assert set(found.not_observed) == {"jump", "kick", "travel_fast", "stay_in_place", "wave"}


@pytest.mark.parametrize(
    "value",
    [
        '{"observed":{"steps":[1.99,0,1,"x"]}}',
        '{"observed":{"steps":[NaN,0,1,"x"]}}',
        '{"observed":{"steps":[1,0,Infinity,"x"]}}',
        '{"observed":{"steps":[1]}}',
        '{"observed":["steps"]}',
        '{"not_observed":"steps"}',
        "[" * 100_000,
        "7",
    ],
    ids=str.__len__,
)
def test_a_line_of_another_form_is_skipped(value: str) -> None:
    assert read_measurements(f"MEASURED (JSON): {value}") == Measurements()
    assert read_measurements(f"MEASURED (JSON): {value}\n{motion().summary()}") == motion().measurements()


@given(st.text() | st.sampled_from(['x\nMEASURED (JSON): {"observed":{"jump":[1.0,0.0,1.0,"y"]}}', OLD, "\u2028"]))
def test_no_string_within_a_value_starts_a_line(text: str) -> None:
    value: dict[str, Any] = {text: [text, {"a": text}]}
    line = marked_json("VALUES", value)
    assert len(line.splitlines()) == 1 and read_measurements(line) == Measurements()
    if line.splitlines() == [line] and not set(text) & set("\x1c\x1d\x1e\x85\u2028\u2029"):
        assert json.loads(line.removeprefix("VALUES (JSON): ")) == value


def test_definitions_of_a_form_that_is_none_are_skipped() -> None:
    good = {"definition": "x", "sub_actions": {"y": ["steps", "flying", 7]}}
    bad: list[Any] = [None, 7, [], {}, {"definition": 3, "sub_actions": {}}, {**good, "sub_actions": ["y"]}]
    bad += [{**good, "sub_actions": {"": []}}, {**good, "differs_from": {"run": 3}}]
    found = read_definitions(marked_json("DEFINITIONS", {"good": good, **{f"bad {k}": v for k, v in enumerate(bad)}}))
    assert list(found) == ["good"] and found["good"].sub_actions[0].primitives == ("steps",)
