"""The reward of the paper, term by term."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_star import recognize
from video_star.graph.records.trace import read
from video_star.training.rewards import Reward, accuracy, reward, sub_actions, tool_use, well_formed

GOOD = "<think>t</think>\n<scores>{}</scores>\n<answer>walk</answer>"


def record(**changes: Any) -> dict[str, Any]:
    """A good run with the answer walk, with some fields changed."""
    made: dict[str, Any] = {"action": "walk", "text": GOOD, "tools": ["detect_people"], "status": "ok"}
    made |= {"author": "policy", "corrected": [], **changes}
    calls = [{"id": "1", "name": name, "args": {}} for name in made["tools"]]
    sub = made.get("sub", [{"walk": 9, "run": 2}, {"run": 5, "walk": 1}, {"walk": 3}])
    return {
        "messages": [
            {"role": "assistant", "author": made["author"], "node": "tool_select", "content": "", "tool_calls": calls},
            *made["corrected"],
            {"role": "assistant", "author": "policy", "node": "score", "content": made["text"]},
        ],
        "recognition": {
            "action": made["action"],
            "evidence": [{"tool": "detect_people", "status": made["status"]}],
            "sub_actions": [{"weight": len(sub) - k, "scores": scores} for k, scores in enumerate(sub)],
        },
    }


def test_a_good_run_gets_every_term() -> None:
    terms = reward(record(), "Walk_")
    assert (terms.accuracy, terms.format, terms.tool) == (1.0, 1.0, 1.0)
    assert terms.sub == pytest.approx((3 + 1) / 6) and terms.total == pytest.approx(3 + 4 / 6)


def test_tools_and_sub_actions_count_only_if_the_answer_is_correct() -> None:
    terms = reward(record(action="run"), "walk")
    assert terms.tool == 1.0 and terms.sub > 0 and terms.total == 1.0


@pytest.mark.parametrize("answer", [None, "run", "walking"])
def test_another_answer_or_none_is_wrong(answer: str | None) -> None:
    assert accuracy(record(action=answer), "walk") == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "walk",
        "<answer>walk</answer>",
        f"So: {GOOD}",
        f"{GOOD} I hope so.",
        "<think>t</think><answer>walk</answer>",
        GOOD.replace("walk", "<b>walk"),
    ],
)
def test_a_turn_in_another_format_gets_no_format_reward(text: str) -> None:
    assert well_formed(record(text=text)) == 0.0


def test_a_corrected_run_gets_no_format_reward() -> None:
    asked = {"role": "user", "author": "graph", "node": "score", "content": "?"}
    turn = {"role": "assistant", "author": "policy", "node": "score", "content": "walk"}
    for request, corrected in (("correct", True), ("score", False)):
        assert well_formed(record(corrected=[turn, {**asked, "request": request}])) == 1.0 - corrected
    # Records of before carry no requests.
    assert well_formed(record(corrected=[turn, asked])) == 0.0 and well_formed(record(corrected=[asked])) == 1.0
    assert well_formed(record(corrected=[{**turn, "node": "decompose"}, {**asked, "node": "decompose"}])) == 1.0


def test_tool_reward_needs_a_working_tool_called_by_the_policy() -> None:
    assert tool_use(record(tools=[])) == 0.0
    assert tool_use(record(status="unavailable")) == 0.0
    assert tool_use(record(author="graph")) == 0.0


@given(st.lists(st.dictionaries(st.sampled_from(["walk", "run", "hug"]), st.floats(0, 10)), max_size=6))
def test_sub_action_reward_is_in_0_to_1(sub: list[dict[str, float]]) -> None:
    value = sub_actions(record(sub=sub), "walk")
    assert 0 <= value <= 1
    if sub and all(scores.get("walk", 0) > max([0, *(v for k, v in scores.items() if k != "walk")]) for scores in sub):
        assert value == 1


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_total_is_gated(form: float, tool: float, sub: float) -> None:
    assert Reward(0.0, form, tool, sub).total == form
    assert Reward(1.0, form, tool, sub).total == pytest.approx(1 + form + tool + sub)


def test_a_real_run_is_rewarded(walking_clip: Any, tmp_path: Any) -> None:
    recognize(walking_clip, ["walk", "hug"], end=2, trace=tmp_path)
    terms = reward(next(read(tmp_path)), "walk")
    assert terms.accuracy == terms.format == terms.tool == 1.0 and 0 < terms.sub <= 1
    assert reward(next(read(tmp_path)), "hug").total == 1.0
