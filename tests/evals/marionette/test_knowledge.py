"""Marionette in the knowledge base: an entry for each action, in the tools' words and the order of the scripts."""

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
from video_star.tools.primitives import PRIMITIVES as MEASURED

KNOWLEDGE = Path(__file__).parents[3] / "evals" / "marionette" / "knowledge.yaml"


def test_every_action_has_an_entry_of_the_knowledge_base() -> None:
    found = read_entries(KNOWLEDGE.read_text(encoding="utf-8"), "marionette")
    assert list(found) == list(ACTIONS)
    assert {other for entry in found.values() for other in entry.unlike} <= set(ACTIONS)
    assert all(any(part.primitives for part in entry.sub_actions) for entry in found.values())


@pytest.mark.parametrize("label", ACTIONS)
def test_a_definition_has_its_movements_in_the_order_of_the_script(label: str) -> None:
    order = read_entries(KNOWLEDGE.read_text(encoding="utf-8"), "marionette")[label].order
    showing = [set(PRIMITIVES[name].shows) for _, name in ACTIONS[label].primitives]
    when = {name: [at for at, shown in enumerate(showing) if name in shown] for step in order for name in step}
    for one, other in combinations(order, 2):
        assert all(when[a][0] < when[b][-1] for a in one for b in other if when[a] and when[b]), (one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sit down then wave", "wave then sit down"),
        ("punch then kick", "kick then punch"),
        ("stand up then clap", "clap then stand up"),
        ("turn around then walk away", "walk forwards then turn around"),
    ],
)
def test_definitions_of_minimal_pairs_have_reverse_orders(one: str, other: str) -> None:
    found = read_entries(KNOWLEDGE.read_text(encoding="utf-8"), "marionette")
    assert found[one].order == found[other].order[::-1] != ()


def test_what_primitives_show_is_in_the_words_of_the_tools() -> None:
    assert {shown for primitive in PRIMITIVES.values() for shown in primitive.shows} <= set(MEASURED)


def test_the_knowledge_base_reads_further_entries_and_they_come_first() -> None:
    code = """if True:
        from video_star.evals.marionette import ACTIONS
        from video_star.tools.knowledge import define, labels
        assert all(define(label).label == label and not define(label).composed_from for label in ACTIONS)
        assert "brush hair" in labels() and define("sit").label == "sit\""""
    further = os.environ | {"VIDEO_STAR_KNOWLEDGE": str(KNOWLEDGE)}
    assert not subprocess.run([sys.executable, "-c", code], env=further, capture_output=True, text=True).stderr


def test_a_file_of_further_entries_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_STAR_KNOWLEDGE", "nowhere.yaml")
    with pytest.raises(KnowledgeError, match="nowhere.yaml"):
        knowledge_base.__wrapped__()
