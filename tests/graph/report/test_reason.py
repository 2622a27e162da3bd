"""The sentence that says why a run answered as it did."""

from typing import Any

import pytest
from markupsafe import Markup

from video_star.graph.report.reason import reason

STEPS, TRAVEL = "the person takes steps", "the person moves across the scene"


def part(name: str, weight: int | None = 1, **scores: float) -> dict[str, Any]:
    return {"name": name, "rank": 1, "weight": weight, "candidates": [*scores], "scores": scores}


def evidence(
    tool: str, summary: str = "", status: str = "ok", **observed: tuple[float, float, float]
) -> dict[str, Any]:
    rows = {name: [*row, "person 1", ""] for name, row in observed.items()}
    measured = {"measured": {"observed": rows}} if tool == "track_motion" else {}
    return {"tool": tool, "status": "ok", "summary": summary, "start": 0.0, "end": 7.0, "frames": [], **measured}


MOVED = evidence("track_motion", steps=(0.7, 2.2, 6.9), travel=(1.0, 0.5, 6.7), turn=(0.4, 1, 2))


def told(*parts: dict[str, Any], found: tuple[dict[str, Any], ...] = (), **scores: float) -> str:
    """The sentence as text, for candidates with these scores."""
    ranked = sorted(scores, key=lambda action: -scores[action])
    ranking = [{"action": action, "score": scores[action]} for action in ranked]
    recognition = {"action": ranked[0], "ranking": ranking, "sub_actions": [*parts], "evidence": [*found]}
    return reason(recognition).striptags()


def test_it_names_the_sub_actions_that_set_the_answer_apart_and_when_they_were_measured() -> None:
    parts = (
        part("stands", 3, walk=9, run=9),
        part(STEPS, 2, walk=8, run=3),
        part("arms swing", 1, walk=7),
        part("x", 9),
    )
    assert told(*parts, found=(MOVED,), walk=0.8, run=0.3) == (
        f"“walk” leads “run” most on “{STEPS}” (8 points against 3, measured from 2.2 to 6.9 s) and “arms swing” "
        "(7 points against none)."
    )
    assert told(part("arms swing", 1, walk=7), walk=0.7) == "“walk” scores most on “arms swing” (7 of 10 points)."


def test_a_tie_is_said_whatever_the_sub_actions() -> None:
    parts = (part(STEPS, 1, walk=9, run=2),)
    assert told(*parts, walk=0.5, run=0.5, hug=0.1).startswith("“walk” and “run” have the same score, 0.50: this run")
    assert told(*parts, walk=0.5, run=0.5, hug=0.5).startswith("“walk”, “run” and 1 more have the same score")


def test_without_scores_of_sub_actions_it_says_what_was_measured() -> None:
    for parts in ((), (part(STEPS, None, walk=9),), (part(STEPS, 1, run=9),)):
        assert told(*parts, found=(MOVED,), walk=0.8, run=0.3) == (
            f"track_motion measured that {TRAVEL} (from 0.5 to 6.7 s) and that {STEPS} (from 2.2 to 6.9 s)."
        )
    still = evidence("track_motion")
    assert told(found=(still,), walk=0.8) == "track_motion observed no movement that it can measure."


def test_without_measurements_it_quotes_a_tool_that_looked_at_the_video() -> None:
    explained, described = evidence("explain_actions", "walk: steps"), evidence("describe_video", "One\nperson. " * 30)
    quote = told(found=(explained, described), walk=0.8)
    assert quote.startswith("describe_video reported: “One person. One person.") and quote.endswith("…”")
    assert len(quote) < 200
    nothing = "No tool reported anything about the video: the answer rests on the model’s reply alone."
    assert told(walk=0.8) == told(found=(explained,), walk=0.8) == nothing
    assert told(found=({**MOVED, "status": "unavailable"},), walk=0.8) == nothing


def test_without_an_answer_there_is_no_sentence() -> None:
    for answer in (None, ""):
        assert reason({"action": answer, "sub_actions": None, "evidence": [MOVED]}) == ""


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x>', "{0} {{7*7}} %s", "w" * 300, "a & b"])
def test_text_of_a_record_is_escaped_and_shortened(text: str) -> None:
    said = []
    ranking = [{"action": text, "score": 0.8}, {"action": text + "2", "score": 0.2}]
    for recognition in (
        {"sub_actions": [part(text, 1, **{text: 9, text + "2": 1})]},
        {"sub_actions": [], "ranking": [{**ranking[0]}, {**ranking[1], "score": 0.8}]},
        {"evidence": [{**evidence(text, text), "measured": None}]},
        {"evidence": [{**MOVED, "tool": text}]},
    ):
        said.append(reason({"action": text, "ranking": ranking, **recognition}))
    for sentence in said:
        plain = sentence.replace(Markup("<bdi>"), "").replace(Markup("</bdi>"), "")
        assert "<" not in plain and ">" not in plain and len(sentence) < 900
        assert str(Markup.escape(text[:50])) in sentence
