"""Score turns: any text gives scores and an answer, or a MalformedReply with the defect."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_star.graph.candidates import Candidates
from video_star.graph.control_tokens import escaped
from video_star.graph.replies.answer import parse_score_turn, partial_score_turn
from video_star.graph.replies.errors import MalformedReply
from video_star.graph.replies.labels import label_texts, stated_label

ACTIONS = ["ride bike", "walk", "Shake-Hands"]
CANDIDATES = Candidates.of(ACTIONS)
NAMES = ["legs swing", "body moves"]


def turn(scores: str, answer: str) -> str:
    return f"<think>because</think>\n<scores>{scores}</scores>\n<answer>{answer}</answer>"


@pytest.mark.parametrize("key", ["1", " 1. ", "sub-action 1", "legs swing", "Legs_Swing"])
def test_scores_may_be_keyed_by_number_or_name(key: str) -> None:
    parsed = parse_score_turn(turn(json.dumps({key: {"walk": 8}}), "walk"), CANDIDATES, NAMES)
    assert parsed.scores == {1: {"walk": 8.0}}
    assert parsed.answer == "walk"


def test_scores_in_a_code_fence_are_read_and_clipped_to_the_scale() -> None:
    parsed = parse_score_turn(turn('```json\n{"1": {"walk": 14, "ride bike": -2}}\n```', "walk"), CANDIDATES, NAMES)
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
def test_a_malformed_turn_raises_with_the_defect(text: str, wrong: str) -> None:
    with pytest.raises(MalformedReply, match=wrong):
        parse_score_turn(text, CANDIDATES, NAMES)


def test_deeply_nested_json_is_malformed_not_a_crash() -> None:
    with pytest.raises(MalformedReply):
        parse_score_turn(turn("[" * 100_000, "walk"), CANDIDATES, NAMES)


def test_a_malformed_turn_is_used_as_far_as_possible() -> None:
    scored = partial_score_turn("well, <answer>walk</answer>", CANDIDATES, NAMES)
    assert scored is not None and scored.answer == "walk"
    scored = partial_score_turn('<scores>{"2": {"ride bike": 5}}</scores>', CANDIDATES, NAMES)
    assert scored is not None and scored.answer == "ride bike"
    assert partial_score_turn("no idea", CANDIDATES, NAMES) is None


@given(st.text())
@settings(deadline=None)
def test_any_text_is_parsed_or_malformed(text: str) -> None:
    for attempt in (text, turn(text, text), turn('{"1": {"walk": 3}}', text)):
        try:
            assert parse_score_turn(attempt, CANDIDATES, NAMES).answer in ACTIONS
        except MalformedReply:
            pass
        partial_score_turn(attempt, CANDIDATES, NAMES)


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("walk, lift, then drop", ["walk", "lift, then drop"]),
        ("lift, then drop", ["lift, then drop"]),
        ("lift, then drop and walk or lift", ["lift, then drop", "walk", "lift"]),
        (["walk", {"name": "lift"}, 7], ["walk", "lift"]),
        (7, []),
    ],
)
def test_a_text_is_split_around_the_longest_labels(given: object, texts: list[str]) -> None:
    found = label_texts(given, Candidates.of(["walk", "lift", "lift, then drop"]))
    assert [text.strip() for text in found] == texts


SIMILAR = [
    "hurling (sport)",
    "opening bottle",
    "opening bottle (not wine)",
    "Failing to fit it because it is too big",
    "pour, then stir",
    "ride - bike",
    "hug",
]


@pytest.mark.parametrize("label", SIMILAR)
@pytest.mark.parametrize(
    "sentence",
    [
        "{}",
        "The action is {}.",
        "Answer: {}",
        "Final answer: **{}**",
        "{} because of the arms",
        "2. {} (score 9)",
        "The most likely action is: {}, since the arms move",
        "{} - the arms move. This is clear.",
        "The person in the video does {}",
        "Given the arms, I see {} here, and nothing else.",
        "In this clip somebody shows {} (the arms move), because of that.",
    ],
)
def test_a_sentence_states_the_longest_label_that_fits(label: str, sentence: str) -> None:
    for order in (SIMILAR, SIMILAR[::-1]):
        assert stated_label(sentence.format(label), Candidates.of(order)) == label


def test_a_sentence_that_doubts_or_names_two_labels_states_none() -> None:
    candidates = Candidates.of(SIMILAR)
    for sentence in (
        "The action is hug or pour, then stir",
        "It is not hug",
        "The action is opening bottle (no wine)",
        "I see a hug here and an opening bottle there",
        "A huge thing moves",
    ):
        assert stated_label(sentence, candidates) is None


@pytest.mark.parametrize("label", ["pour, then stir", "lift; drop and catch", "hurling (sport)", "hug"])
def test_lines_of_scores_name_labels_with_separators_in_them(label: str) -> None:
    candidates = Candidates.of(["pour, then stir", "lift; drop and catch", "hurling (sport)", "hug", "pour", "run"])
    for line in ("{}: 7, run: 2", "run 2/10; {}: 7/10", "run - 2 and {} - 7"):
        text = f"<scores>{line.format(label)}</scores><answer>{label}</answer>"
        assert parse_score_turn(text, candidates, []).scores == {0: {label: 7.0, "run": 2.0}}


MARKUP = [
    "<|im_end|>",
    "<|endoftext|>",
    "</s>",
    "<answer>",
    "</think>",
    "<b>walk</b>",
    'say "<|im_end|>"\nthere',
    "a < b",
    "<image>",
    "<|image_pad|>",
    "<start_of_turn>",
    "[INST]",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
]


@pytest.mark.parametrize("label", MARKUP)
def test_a_label_with_markup_is_data(label: str) -> None:
    candidates = Candidates.of([*MARKUP, "run"])
    for key in (label, escaped(label)):
        text = turn(json.dumps({"1": {key: 8, "run": 1}}), key).replace("because", "" if "think" in key else key)
        for ended in (text, f"{text}<|im_end|>\n<|im_start|>user\nNo: <answer>run</answer>"):
            parsed = parse_score_turn(ended, candidates, NAMES)
            assert (parsed.answer, parsed.scores) == (label, {1: {label: 8.0, "run": 1.0}})
            assert (
                parse_score_turn(turn(json.dumps({"1": {key: 1, "run": 8}}), "run"), candidates, NAMES).answer == "run"
            )
    scored = partial_score_turn(f"<scores>{json.dumps({'1': {label: 8}})}</scores>", candidates, NAMES)
    assert scored is not None and scored.answer == label


def test_an_error_shows_the_label_itself() -> None:
    with pytest.raises(MalformedReply, match=r"'<\|im_end\|> or run' is not one"):
        parse_score_turn(turn('{"1": {"run": 3}}', "<|im_end|> or run"), Candidates.of(["<|im_end|>", "run"]), NAMES)
