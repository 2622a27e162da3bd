"""Completions as un-finetuned models write them, replayed through the real graph: understood, corrected, or honest."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolCall, ToolMessage

from video_star.graph import Context, build_graph
from video_star.graph.candidates import Candidates
from video_star.graph.ranking import weigh
from video_star.graph.records.result import Recognition
from video_star.graph.replies.answer import parse_score_turn
from video_star.graph.replies.errors import MalformedReply
from video_star.graph.replies.sub_actions import normalize_decompose, parse_sub_actions
from video_star.graph.replies.tool_calls import normalize_calls, validated_calls

from ...growth import growth

ACTIONS = ["walk", "run", "run fast", "ride bike", "shake_hands"]
CANDIDATES = Candidates.of(ACTIONS)
NAMES = ["legs swing in steps", "the body moves across the scene"]
TURNS = ["tools", "decompose", "score"]
CORPUS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("hostile_completions.yaml").read_text("utf-8"))
THROUGH_THE_GRAPH = """
tools-prose tools-blank tools-unknown tools-empty-name tools-same-call-twice tools-invalid-single-quotes
tools-invalid-cut tools-text-hermes tools-text-react tools-text-hermes-broken tools-text-open-tags
decompose-good decompose-json-text decompose-no-arguments decompose-two-calls decompose-with-foreign-call
decompose-only-foreign-call decompose-text-hermes decompose-text-empty decompose-text-answer-early
decompose-invalid-cut score-answer-plain score-label-prefix score-answer-unknown score-answer-against-scores
score-scores-fence score-scores-nan score-scores-cut score-text-empty score-calls-and-answer score-tool-calls
score-endless-think
""".split()
"""Entries of the corpus that pass through each branch of the graph; all others differ in parsing alone."""
Make = Callable[[list[Any]], Any]


def message(entry: dict[str, Any]) -> AIMessage:
    calls = [ToolCall(name=c["name"], args=c["args"], id=f"c{i}") for i, c in enumerate(entry.get("calls", ()))]
    invalid = [
        {"name": c["name"], "args": c["args"], "id": f"i{i}", "error": None, "type": "invalid_tool_call"}
        for i, c in enumerate(entry.get("invalid", ()))
    ]
    text = entry.get("text", "") * entry.get("repeat", 1) + entry.get("then", "")
    return AIMessage(text, tool_calls=calls, invalid_tool_calls=invalid)


def understood(entry: dict[str, Any]) -> Any:
    """What the parser makes of an entry, in the form in which the corpus says what is meant."""
    said = message(entry)
    if entry["turn"] == "tools":
        calls = validated_calls(normalize_calls(said, ["explain_actions"]), ["explain_actions"])
        return [{"name": call["name"], "args": call["args"]} for call in calls]
    if entry["turn"] == "decompose":
        return [item["name"] for item in parse_sub_actions(normalize_decompose(said, CANDIDATES), CANDIDATES)]
    scored = parse_score_turn(said.text, CANDIDATES, NAMES)
    totals = weigh(scored.scores, len(NAMES))
    if totals.get(scored.answer, 0) < max(totals.values()):
        raise MalformedReply("the answer is not the best scored")
    return {"answer": scored.answer, "scores": {str(k): row for k, row in scored.scores.items()}}


def test_the_corpus_is_large_and_of_all_turns() -> None:
    assert len(CORPUS) >= 200 and len({entry["id"] for entry in CORPUS}) == len(CORPUS)
    assert min(Counter(entry["turn"] for entry in CORPUS).values()) >= 50
    assert all(("meant" in entry) != ("corrected" in entry) for entry in CORPUS)


def test_what_is_meant_is_understood_and_nothing_else() -> None:
    wrong = {}
    for entry in CORPUS:
        try:
            found = understood(entry)
        except MalformedReply as error:
            found = error
        if not isinstance(found, MalformedReply) if "corrected" in entry else found != entry["meant"]:
            wrong[entry["id"]] = found
    assert not wrong


def test_endless_completions_take_linear_time() -> None:
    def parse(entry: dict[str, Any]) -> None:
        with suppress(MalformedReply):
            understood(entry)

    def grown(entry: dict[str, Any]) -> float:
        return growth(lambda times: parse({**entry, "repeat": times}), entry["repeat"])

    endless = {entry["id"]: grown(entry) for entry in CORPUS if entry.get("repeat", 0) > 500}
    assert len(endless) >= 8
    assert not {name: ratio for name, ratio in endless.items() if ratio > 3}


async def replay(policy: Any, clip: Path) -> dict[str, Any]:
    context = Context(tools=["explain_actions"], frames=2)
    star = build_graph(context=context, policy=policy).compile()
    given: Any = {"video": str(clip), "actions": ACTIONS, "start": 0.0, "end": 0.5}
    state: dict[str, Any] = {}
    async for part in star.astream(given, stream_mode="values"):
        state = part
    return state


def good(replies: Any) -> list[AIMessage]:
    scores = json.dumps({"1": {"walk": 9, "run": 4}, "2": {"walk": 7, "run": 6}})
    return [replies.calls(("explain_actions", {})), replies.decomposes(*NAMES), replies.answer("walk", scores)]


def scripted(replies: Any, turn: str, *said: AIMessage, and_good: bool) -> list[AIMessage]:
    """A good run but for what is said in one turn; then the good turn, where `and_good`."""
    at, script = TURNS.index(turn), good(replies)
    return [*script[:at], *said, *(script[at:] if and_good else script[at + 1 :])]


def checked(state: dict[str, Any], policy: Any) -> Recognition:
    """The result, after what must hold of every run."""
    found = Recognition.model_validate({key: state[key] for key in Recognition.model_fields if key in state})
    if found.status == "failed":
        assert found.action is None and found.error_type == "UnusableAnswer"
    else:
        assert found.action in ACTIONS and found.ranking[0].action == found.action
        assert sorted(item.action for item in found.ranking) == sorted(ACTIONS)
    assert len(policy.received) <= 6
    json.dumps(found.model_dump(), allow_nan=False).encode()
    asked = [call["id"] for m in state["conversation"] if isinstance(m, AIMessage) for call in m.tool_calls]
    assert asked == [m.tool_call_id for m in state["conversation"] if isinstance(m, ToolMessage)]
    for made in ([c["id"] for c in m.tool_calls] for m in state["conversation"] if isinstance(m, AIMessage)):
        assert len(made) == len(set(made)) and all(made)
    for turn in policy.received:
        assert all(m.text.strip() or m.tool_calls for m in turn if isinstance(m, AIMessage))
        assert not any(m.invalid_tool_calls for m in turn if isinstance(m, AIMessage))
    return found


@pytest.mark.parametrize("name", THROUGH_THE_GRAPH)
async def test_a_hostile_turn_ends_in_a_result_or_a_typed_failure(
    name: str, replies: Any, make_policy: Make, walking_clip: Path, warm: Path
) -> None:
    entry = next(entry for entry in CORPUS if entry["id"] == name)
    said = message(entry)
    after = make_policy(scripted(replies, entry["turn"], said, and_good="meant" not in entry))
    found = checked(await replay(after, walking_clip), after)
    again = make_policy(scripted(replies, entry["turn"], said, said, and_good=False))
    repeated = checked(await replay(again, walking_clip), again)
    assert found.status != "failed"
    if "meant" in entry:
        assert not any("corrected once" in note for note in found.notes)
    else:
        assert any("corrected once" in note for note in found.notes), found.notes
        assert repeated.status in ("degraded", "failed")


TEXTS = st.lists(
    st.sampled_from(
        [
            *ACTIONS, *NAMES, "<think>", "</think>", "<scores>", "</scores>", "<answer>", "</answer>", "<tool_call>",
            "</tool_call>", '{"name": "', '", "arguments": ', "explain_actions", "decompose", "sub_actions", "{", "}",
            "[", "]", '"', "'", ":", ",", "1", "2", "9/10", "90%", "-3", "1e999", "NaN", "null", "```json", "```", "\n",
            " ", "Action: ", "Action Input: ", "(", ")", "=", "not ", "The action is ", "<|im_end|>", "\x00",
            "行走", "🚶",
            '\\ud800', "1. ", "- ",
        ]
    )
    | st.text(max_size=8)
    | st.floats().map(str),
    max_size=60,
).map("".join)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turn=st.sampled_from(TURNS), first=TEXTS, second=TEXTS, as_args=st.booleans())
async def test_no_soup_of_the_protocol_breaks_a_run(
    turn: str, first: str, second: str, as_args: bool, replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    name = {"tools": "explain_actions"}.get(turn, "decompose")
    said = [AIMessage(first), AIMessage(second)]
    if as_args:
        said[0] = message({"text": first, "invalid": [{"name": name, "args": second}]})
    policy = make_policy(scripted(replies, turn, *said, and_good=False))
    checked(await replay(policy, walking_clip), policy)
