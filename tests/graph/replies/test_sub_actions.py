"""Decompose turns: any arguments give ranked sub-actions with known candidates, or a MalformedReply."""

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolCall

from video_star.graph.candidates import Candidates
from video_star.graph.replies.errors import MalformedReply
from video_star.graph.replies.sub_actions import parse_sub_actions

ACTIONS = ["ride bike", "walk", "Shake-Hands"]
CANDIDATES = Candidates.of(ACTIONS)

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values) | st.fixed_dictionaries({"sub_actions": json_values}))
def test_any_arguments_are_parsed_or_malformed(args: dict[str, object]) -> None:
    message = AIMessage("", tool_calls=[ToolCall(name="decompose", args=args, id="1")])
    try:
        found = parse_sub_actions(message, CANDIDATES)
    except MalformedReply:
        return
    assert found and all(item["name"] and set(item["candidates"]) <= set(ACTIONS) for item in found)


def test_sub_actions_keep_their_rank_without_duplicates_and_unknown_candidates() -> None:
    named = [
        {"name": "legs  swing", "candidates": ["WALK", "swim", "walk"]},
        {"name": "Legs_swing"},
        {"name": ""},
        "arms swing",
    ]
    message = AIMessage("", tool_calls=[ToolCall(name="decompose", args={"sub_actions": named}, id="1")])
    assert parse_sub_actions(message, CANDIDATES) == [
        {"name": "legs swing", "candidates": ["walk"]},
        {"name": "arms swing", "candidates": []},
    ]
