"""A text matches a candidate up to spelling, at a cost independent of the number of candidates."""

import time
from typing import Any

import pytest

from video_star import recognize
from video_star.graph.candidates import Candidates, checked_actions, normalize_label
from video_star.tools.errors import BadActions

ACTIONS = ["ride bike", "walk", "Shake-Hands"]


@pytest.mark.parametrize("text", ["ride_bike", " Ride Bike. ", '"ride-bike"', "RIDE  BIKE"])
def test_spelling_does_not_matter_for_a_label(text: str) -> None:
    assert Candidates.of(ACTIONS).match(text) == "ride bike"


@pytest.mark.parametrize("text", ["ride bikes", "", "walk or run", "bike"])
def test_another_label_does_not_match(text: str) -> None:
    assert Candidates.of(ACTIONS).match(text) is None


def test_labels_with_the_same_words_differ_by_spelling() -> None:
    candidates = Candidates.of(["run!", "run?", "hop (high)"])
    assert candidates.match("RUN?") == "run?" and candidates.match("run") is None
    assert candidates.match("hop high") == "hop (high)"


def test_the_lookup_is_made_once_for_the_labels_of_a_run() -> None:
    assert Candidates.of(list(ACTIONS)) is Candidates.of(tuple(ACTIONS))
    assert Candidates.of(ACTIONS).labels == tuple(ACTIONS)


def test_the_cost_of_a_lookup_does_not_grow_with_the_number_of_labels() -> None:
    def seconds(count: int) -> float:
        candidates = Candidates.of(checked_actions([f"label number {k}" for k in range(count)]))
        texts = [f"Label_number {k}" for k in range(0, count, max(1, count // 1000))][:1000] + ["no such label"] * 1000
        began = time.process_time()
        assert sum(candidates.match(text) is not None for text in texts) == len(texts) - 1000
        return (time.process_time() - began) / len(texts)

    few, many = (min(seconds(count) for _ in range(3)) for count in (1000, 2000))
    assert many < 1.5 * few


def test_normalized_labels_are_fixed_points() -> None:
    assert all(normalize_label(normalize_label(label)) == normalize_label(label) for label in ACTIONS)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("walk, run", "are one text, 'walk, run'; give a list"),
        ('["walk", "run"]', "are one text"),
        ("", "no candidate actions"),
        (None, "no candidate actions"),
        ((), "no candidate actions"),
        (7, "of the type int; give a list"),
        (b"walk", "of the type bytes"),
        ({"walk": "run"}, "of the type dict"),
        ([["walk"]], "is not text"),
        ([None], "'None' is not text"),
        (["  "], "is empty"),
    ],
)
def test_actions_that_are_no_list_of_texts_are_told_what_is_wrong(given: Any, told: str) -> None:
    for check in (checked_actions, lambda actions: recognize("missing.mp4", actions)):
        with pytest.raises(BadActions) as caught:
            check(given)
        assert told in str(caught.value)


def test_any_collection_of_texts_is_a_list_of_actions() -> None:
    for given in (("walk", "run"), iter(["walk", "run"]), dict.fromkeys(["walk", "run"]).keys()):
        assert checked_actions(given) == ["walk", "run"]
