"""The parser is total: whatever a model writes, it gives typed values or says what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolCall

from video_star.graph.replies.parse import (
    Malformed,
    match_label,
    parse_score_turn,
    parse_sub_actions,
    partial_score_turn,
    rank,
    tool_calls,
    weigh,
)

ACTIONS = ["ride bike", "walk", "Shake-Hands"]
NAMES = ["legs swing", "body moves"]


def turn(scores: str, answer: str) -> str:
    return f"<think>because</think>\n<scores>{scores}</scores>\n<answer>{answer}</answer>"


@pytest.mark.parametrize("text", ["ride_bike", " Ride Bike. ", '"ride-bike"', "RIDE  BIKE"])
def test_a_label_is_recognised_however_it_is_spelt(text: str) -> None:
    assert match_label(text, ACTIONS) == "ride bike"


@pytest.mark.parametrize("text", ["ride bikes", "", "walk or run", "bike"])
def test_another_label_is_not_taken_for_a_candidate(text: str) -> None:
    assert match_label(text, ACTIONS) is None


@pytest.mark.parametrize("key", ["1", " 1. ", "sub-action 1", "legs swing", "Legs_Swing"])
def test_scores_may_be_keyed_by_number_or_name(key: str) -> None:
    parsed = parse_score_turn(turn(json.dumps({key: {"walk": 8}}), "walk"), ACTIONS, NAMES)
    assert parsed.scores == {1: {"walk": 8.0}}
    assert parsed.answer == "walk"


def test_scores_in_a_code_fence_are_read_and_cut_to_the_scale() -> None:
    parsed = parse_score_turn(turn('```json\n{"1": {"walk": 14, "ride bike": -2}}\n```', "walk"), ACTIONS, NAMES)
    assert parsed.scores == {1: {"walk": 10.0, "ride bike": 0.0}}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (turn("{", "walk"), "not a JSON object"),
        (turn("[1]", "walk"), "not a JSON object"),
        (turn('{"7": {"walk": 3}}', "walk"), "no known sub-action"),
        (turn('{"1": {"walk": "high"}}', "walk"), "no known sub-action"),
        (turn('{"1": {"walk": true}}', "walk"), "no known sub-action"),
        (turn('{"1": {"walk": NaN}}', "walk"), "no known sub-action"),
        ('<scores>{"1": {"walk": 3}}</scores>', "no <answer>"),
        ("<answer>walk</answer>", "no <scores>"),
        (turn('{"1": {"walk": 3}}', "swim"), "not one of the candidate actions"),
        ("", "no <scores>"),
    ],
)
def test_a_malformed_turn_says_what_is_wrong(text: str, wrong: str) -> None:
    with pytest.raises(Malformed, match=wrong):
        parse_score_turn(text, ACTIONS, NAMES)


def test_deeply_nested_json_is_malformed_not_a_crash() -> None:
    with pytest.raises(Malformed):
        parse_score_turn(turn("[" * 100_000, "walk"), ACTIONS, NAMES)


def test_what_can_be_saved_of_a_bad_turn_is_saved() -> None:
    assert partial_score_turn("well, <answer>walk</answer>", ACTIONS, NAMES).answer == "walk"  # type: ignore[union-attr]
    scored = partial_score_turn('<scores>{"2": {"ride bike": 5}}</scores>', ACTIONS, NAMES)
    assert scored is not None and scored.answer == "ride bike"
    assert partial_score_turn("no idea", ACTIONS, NAMES) is None


def test_rank_k_of_n_weighs_n_minus_k_plus_1() -> None:
    totals = weigh({1: {"walk": 10}, 2: {"walk": 10, "run": 10}, 3: {"run": 10}}, 3)
    assert totals == {"walk": pytest.approx(5 / 6), "run": pytest.approx(3 / 6)}


@given(st.dictionaries(st.integers(1, 5), st.dictionaries(st.sampled_from(ACTIONS), st.floats(0, 10)), max_size=5))
def test_weighed_scores_stay_within_0_and_1(scores: dict[int, dict[str, float]]) -> None:
    assert all(0 <= total <= 1 + 1e-9 for total in weigh(scores, 5).values())


@given(st.lists(st.text(min_size=1), min_size=1, max_size=9, unique=True), st.data())
def test_a_ranking_holds_every_candidate_once_and_the_answer_first(actions: list[str], data: st.DataObject) -> None:
    totals = data.draw(st.dictionaries(st.sampled_from(actions), st.floats(0, 1)))
    answer = data.draw(st.sampled_from(actions))
    ranking = rank(actions, totals, answer)
    assert sorted(item["action"] for item in ranking) == sorted(actions)
    assert ranking[0]["action"] == answer
    rest = [item["score"] for item in ranking[1:]]
    assert rest == sorted(rest, reverse=True)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    for attempt in (text, turn(text, text), turn('{"1": {"walk": 3}}', text)):
        try:
            assert parse_score_turn(attempt, ACTIONS, NAMES).answer in ACTIONS
        except Malformed:
            pass
        partial_score_turn(attempt, ACTIONS, NAMES)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values) | st.fixed_dictionaries({"sub_actions": json_values}))
def test_no_arguments_break_the_sub_actions(args: dict[str, object]) -> None:
    message = AIMessage("", tool_calls=[ToolCall(name="decompose", args=args, id="1")])
    try:
        found = parse_sub_actions(message, ACTIONS)
    except Malformed:
        return
    assert found and all(item["name"] and set(item["candidates"]) <= set(ACTIONS) for item in found)


def test_sub_actions_keep_their_rank_drop_repeats_and_foreign_candidates() -> None:
    named = [
        {"name": "legs  swing", "candidates": ["WALK", "swim", "walk"]},
        {"name": "Legs_swing"},
        {"name": ""},
        "arms swing",
    ]
    message = AIMessage("", tool_calls=[ToolCall(name="decompose", args={"sub_actions": named}, id="1")])
    assert parse_sub_actions(message, ACTIONS) == [
        {"name": "legs swing", "candidates": ["walk"]},
        {"name": "arms swing", "candidates": []},
    ]


def test_a_call_of_an_unknown_tool_or_without_json_is_malformed() -> None:
    with pytest.raises(Malformed, match="there is no tool 'look'"):
        tool_calls(AIMessage("", tool_calls=[ToolCall(name="look", args={}, id="1")]), ["detect_people"])
    broken = {"name": "detect_people", "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}
    with pytest.raises(Malformed, match="not valid JSON"):
        tool_calls(AIMessage("", invalid_tool_calls=[broken]), ["detect_people"])
