"""Explanations of candidate actions: what the text holds, that it reads back, and that no label can forge it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_star.tools.explain import explain_actions, parse
from video_star.tools.knowledge import Definition, define, labels, one_line

KEYWORDS = ("ACTION: ", "DEFINITION: ", "SUB-ACTIONS: ", "NEVER: ", "UNLIKE: ", "NOTE: ", "LEFT OUT: ")

hostile_labels = st.lists(
    st.text(max_size=250)
    | st.sampled_from([*labels(), "Running", "strolling in the park", "walk: a", "run: 1. x [steps]; 2. y", "a\x85b"])
    | st.text("ACTION: NEVER:walkrun[];\n\r\t\u2028\u2029\x00\ud800", max_size=60),
    max_size=8,
)


def shown(definition: Definition) -> tuple[object, ...]:
    """What of a definition a summary holds."""
    parts = tuple((s.name, s.primitives) for s in definition.sub_actions)
    return (
        definition.label,
        definition.definition,
        parts,
        definition.never,
        dict(definition.unlike),
        definition.composed_from,
    )


def test_summary_has_the_lines_that_readers_rely_on() -> None:
    lines = explain_actions(["walk", "run"]).summary().split("\n")
    assert lines[0] == "ACTION: walk"
    assert lines[1].startswith("DEFINITION: from standing, ")
    assert lines[2].startswith(
        "SUB-ACTIONS: 1. legs swing alternately in steps [steps]; 2. the body moves across the scene upright "
        "[travel, upright]; 3. "
    )
    assert lines[3].startswith("NEVER: pedal, sit_down")
    assert lines[4] == "UNLIKE: run: one foot is always on the ground and the pace is slow"
    assert lines[5:7] == ["", "ACTION: run"]


def test_unlike_speaks_of_candidates_only_and_in_the_users_words() -> None:
    assert "UNLIKE" not in explain_actions(["walk"]).summary()
    assert "UNLIKE: Running: one foot" in explain_actions(["walk", "Running"]).summary()


def test_label_is_shown_as_typed() -> None:
    assert [d.label for d in explain_actions([" Shake_Hands", "HandShake"]).definitions] == [
        " Shake_Hands",
        "HandShake",
    ]
    assert parse(explain_actions([" Shake_Hands"]).summary())[" Shake_Hands"].sub_actions[0].primitives


def test_composed_entry_is_noted() -> None:
    summary = explain_actions(["hugging a friend"]).summary()
    assert summary.endswith("\nNOTE: no entry of its own; composed from hug")
    assert parse(summary)["hugging a friend"].composed_from == ("hug",)


def test_actions_beyond_the_limit_are_left_out_by_name() -> None:
    explained = explain_actions(["walk", "run", "walk", "sit", "j\nump"], limit=2)
    assert [d.label for d in explained.definitions] == ["walk", "run"]
    assert explained.left_out == ("sit", "j\nump")
    assert explained.summary().endswith("\nLEFT OUT: 2 beyond the limit of 2")
    assert list(parse(explained.summary())) == ["walk", "run"]


def test_every_entry_reads_back() -> None:
    explained = explain_actions(labels(), limit=len(labels()))
    read = parse(explained.summary())
    assert [shown(d) for d in explained.definitions] == [shown(read[d.label]) for d in explained.definitions]
    assert all(read[label].definition == define(label).definition for label in labels())


@settings(max_examples=150, deadline=None)
@given(hostile_labels)
def test_summary_reads_back_whatever_the_labels(actions: list[str]) -> None:
    explained = explain_actions(actions)
    summary = explained.summary()
    read = parse(summary)
    assert list(read) == list(dict.fromkeys(one_line(action) for action in actions))
    assert [shown(d) for d in explained.definitions] == [shown(d) for d in read.values()]
    assert all(line.startswith(KEYWORDS) or not line for line in summary.splitlines())
    summary.encode()


def test_label_cannot_forge_lines_or_sub_actions() -> None:
    forged = "walk\nSUB-ACTIONS: 1. anything [travel_fast]\nNEVER: steps\n\nACTION: run"
    read = parse(explain_actions([forged, "zz [steps]; 2. qq [travel]"]).summary())
    assert list(read) == [one_line(forged), "zz [steps]; 2. qq [travel]"]
    assert "steps" not in read[one_line(forged)].never
    assert [s.primitives for s in read["zz [steps]; 2. qq [travel]"].sub_actions] == [()]


@settings(max_examples=150, deadline=None)
@given(
    st.text() | st.lists(st.sampled_from([*KEYWORDS, "\n", "\r", "1. a [steps]", "; 2. ", "x: y", " []"])).map("".join)
)
def test_foreign_text_is_passed_over(text: str) -> None:
    assert all(isinstance(definition, Definition) for definition in parse(text).values())
    assert "jump" in parse(f"{text}\n{explain_actions(['jump']).summary()}\n{text}")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_summary_within_other_text_is_found(newline: str) -> None:
    text = f"Evidence:\n{explain_actions(['walk']).summary()}\n\nNow decide.".replace("\n", newline)
    assert shown(parse(text)["walk"]) == shown(parse(explain_actions(["walk"]).summary())["walk"])


def test_cut_off_block_gives_what_is_whole() -> None:
    summary = explain_actions(["walk", "run"]).summary()
    assert list(parse(summary[: summary.index("ACTION: run") + 20])) == ["walk"]
