"""JSON repair returns the intended value or raises ValueError, in linear time."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_star.graph.replies.json_repair import find_json, repair_json

from ...growth import growth

words = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
values = st.recursive(scalars, lambda x: st.lists(x) | st.dictionaries(words, x), max_leaves=12)
plain = st.text("abc xyz_-", min_size=1).filter(str.strip)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | plain,
    lambda x: st.lists(x, min_size=1) | st.dictionaries(plain, x, min_size=1),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict | list))


@given(values)
def test_valid_json_is_unchanged(value: Any) -> None:
    assert repair_json(json.dumps(value)) == value
    assert repair_json(json.dumps(value, ensure_ascii=False, indent=1)) == value


@given(plain_values)
def test_common_mistakes_are_repaired(value: Any) -> None:
    text = json.dumps(value, indent=1)
    for slip in (
        f"```json\n{text}\n```",
        f"Here it is:\n{text}\nThat is all.",
        text.replace("\n}", ",\n}").replace("\n]", ",\n]"),
        text.replace(",\n", ", // so it is\n"),
        text.replace(",\n", " /* so */,\n"),
        text.replace('"', "'"),
        repr(value),
    ):
        assert repair_json(slip) == value, slip


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), st.integers() | plain, min_size=1))
def test_unquoted_keys_are_repaired(value: dict[str, Any]) -> None:
    bare = ", ".join(f"{key}: {json.dumps(inner)}" for key, inner in value.items())
    assert repair_json(f"{{{bare}}}") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 9/10, "b": 90%}', {"a": "9/10", "b": "90%"}),
        ('{"name": "the "big" swing", "x": 1}', {"name": 'the "big" swing', "x": 1}),
        ("{'a': 'it's'}", {"a": "it's"}),
        ('{"a": {"b": 1}', {"a": {"b": 1}}),
        ("{“a”：“b”，“c”：1}", {"a": "b", "c": 1}),
        ("{start=0, end=0.5}", {"start": 0, "end": 0.5}),
        ('{"a": True, "b": None}', {"a": True, "b": None}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ("[\n'a'\n'b'\n]", ["a", "b"]),
    ],
)
def test_the_intended_value_is_read(text: str, value: Any) -> None:
    assert repair_json(text) == value


@pytest.mark.parametrize(
    "text", ["", "walk", '{"a": 1', '{"a": "b', '{"a', "{a}", "[1, 2}", "__import__('os')", "{1, 2}"]
)
def test_truncated_values_and_other_text_raise(text: str) -> None:
    with pytest.raises(ValueError):
        repair_json(text)


@given(st.text() | st.text("{}[]\"':,\\/#*`= \n1a-", max_size=300))
def test_any_text_gives_a_value_or_a_value_error(text: str) -> None:
    try:
        repair_json(text)
    except ValueError:
        pass
    for start, end, value in find_json(text):
        assert text[start] in "{[" and start < end <= len(text) and isinstance(value, dict | list)


@given(plain_values, st.data())
def test_json_with_one_changed_character_raises_nothing_else(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text) - 1))
    try:
        repair_json(text[:at] + data.draw(st.text(max_size=2)) + text[at + 1 :])
    except ValueError:
        pass


def test_time_is_linear_in_the_length_of_the_text() -> None:
    def read(text: str) -> None:
        for attempt in (text, "[" + text, '{"a": "' + text):
            with suppress(ValueError):
                repair_json(attempt)
            find_json(attempt)

    def grown(unit: str) -> float:
        return growth(lambda size: read(unit * (size // len(unit))), 10_000)

    units = '{|[|{"|{\'|{"a":|{"a" |"|```|/*|{ #|[1,|\\"|[ /*|{a |[ "a" b |{ '.split("|")
    ratios = {unit: grown(unit) for unit in units}
    assert not {unit: ratio for unit, ratio in ratios.items() if ratio > 3}
