"""Marionette's knowledge base entries: one per action, with the primitives in the order of the scripts."""

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from video_star.evals.marionette import ACTIONS
from video_star.evals.marionette.primitives import PRIMITIVES
from video_star.tools.knowledge import KnowledgeError, read_entries
from video_star.tools.knowledge.base import knowledge_base
from video_star.tools.motion_primitives import PRIMITIVES as MEASURED

KNOWLEDGE = Path(__file__).parents[3] / "evals" / "marionette" / "knowledge.yaml"


def test_every_action_has_an_entry_of_the_knowledge_base() -> None:
    found = read_entries(KNOWLEDGE.read_text(encoding="utf-8"), "marionette")
    assert list(found) == list(ACTIONS)
    assert {other for entry in found.values() for other in entry.unlike} <= set(ACTIONS)
    assert all(entry.primitives for entry in found.values())


def test_definitions_list_movements_in_script_order() -> None:
    found = read_entries(KNOWLEDGE.read_text(encoding="utf-8"), "marionette")
    for label, action in ACTIONS.items():
        order = found[label].order
        visible = [PRIMITIVES[name].shows for _, name in action.primitives]
        steps = {name: [k for k, names in enumerate(visible) if name in names] for part in order for name in part}
        for one, other in combinations(order, 2):
            pairs = [(a, b) for a in one for b in other if steps[a] and steps[b]]
            assert all(steps[a][0] < steps[b][-1] for a, b in pairs), (label, one, other)


def test_definitions_of_minimal_pairs_have_reverse_orders() -> None:
    found = read_entries(KNOWLEDGE.read_text(encoding="utf-8"), "marionette")
    for one, other in (
        ("sit down then wave", "wave then sit down"),
        ("punch then kick", "kick then punch"),
        ("stand up then clap", "clap then stand up"),
        ("turn around then walk away", "walk forwards then turn around"),
    ):
        assert found[one].order == found[other].order[::-1] != (), one


def test_primitives_are_described_by_names_that_the_tools_measure() -> None:
    assert {name for primitive in PRIMITIVES.values() for name in primitive.shows} <= set(MEASURED)


def test_additional_entries_are_read_and_take_precedence() -> None:
    code = """if True:
        from video_star.evals.marionette import ACTIONS
        from video_star.tools.knowledge import define, labels
        assert all(define(label).label == label and not define(label).composed_from for label in ACTIONS)
        assert "brush hair" in labels() and define("sit").label == "sit\""""
    further = os.environ | {"VIDEO_STAR_KNOWLEDGE": str(KNOWLEDGE)}
    assert not subprocess.run([sys.executable, "-c", code], env=further, capture_output=True, text=True).stderr


def test_a_missing_file_of_additional_entries_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_STAR_KNOWLEDGE", "nowhere.yaml")
    with pytest.raises(KnowledgeError, match="nowhere.yaml"):
        knowledge_base.__wrapped__()
