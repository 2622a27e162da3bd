"""The embedded policy's confidence: calibrated on rendered clips, and chance where little was observed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_star import recognize
from video_star.graph.policies.kinematic.confidence import Support, Way, calibrations
from video_star.tools.knowledge import define
from video_star.tools.motion.measurements import Measurements, Observation

WAYS: list[Way] = ["sub_actions", "whole_actions"]
CLEAR = Support(candidates=10, belief=0.7, margin=0.5, in_view=0.95, shown=0.8, explained=0.8, observed=5)
SUPPORTS = st.builds(
    Support,
    candidates=st.integers(1, 2000),
    belief=st.floats(0, 1),
    margin=st.floats(-1, 1),
    in_view=st.floats(0, 1),
    shown=st.floats(0, 1),
    explained=st.floats(0, 1),
    observed=st.integers(0, 60),
)


@given(SUPPORTS, st.sampled_from(WAYS))
def test_a_confidence_is_a_probability(support: Support, way: Way) -> None:
    assert 0 <= calibrations()[1][way].confidence(support) <= 1


@pytest.mark.parametrize("way", WAYS)
def test_less_observed_means_closer_to_chance(way: Way) -> None:
    one = calibrations()[1][way]
    lesser = [
        replace(CLEAR, in_view=0.4),
        replace(CLEAR, shown=0.2),
        replace(CLEAR, explained=0.15),
        replace(CLEAR, observed=30),
        replace(CLEAR, belief=0.3),
    ]
    assert all(0.1 < one.confidence(support) < one.confidence(CLEAR) - 0.05 for support in lesser)
    for nothing in (replace(CLEAR, in_view=0.0), replace(CLEAR, explained=0.0), replace(CLEAR, shown=0.0)):
        assert one.confidence(nothing) == pytest.approx(0.1)


def test_support_is_what_was_observed_of_the_answer() -> None:
    walk = define("walk")
    named = walk.primitives[0]
    rows = {named: Observation(0.8, 0, 1, "person 1"), "camera_nears": Observation(1.0, 0, 1, "camera")}
    observed = Measurements(rows | {"arms_around": Observation(0.2, 0, 1, "person 1")}, in_view=0.5)
    found = Support.of("walk", {"walk": 0.6, "hug": 0.5}, {"walk": 0.9, "hug": 0.1}, observed, {"walk": walk}, 4)
    assert found.observed == 2 and found.belief == pytest.approx(0.45) and found.margin == pytest.approx(0.1)
    assert found.explained == pytest.approx(0.8) and found.shown == pytest.approx(0.8 / len(walk.primitives))
    assert 0 < found.in_view < 0.1, "one primitive of a person was measurable, half of the time"


def test_without_evidence_the_confidence_is_chance_and_scores_stay_scores(walking_clip: Path) -> None:
    actions = ["walk", "run", "hug", "wave"]
    blind = recognize(walking_clip, actions, end=2, mode="no_tools")
    assert blind.confidence == 0.25 and blind.ranking[0].score == 0
    for mode in ("agentic", "static", "no_sub_actions"):
        found = recognize(walking_clip, actions, end=2, mode=mode)
        turned = recognize(walking_clip, actions[::-1], end=2, mode=mode)
        assert found.confidence == turned.confidence and found.confidence is not None
        assert 0.25 < found.confidence < 1 and found.confidence != found.ranking[0].score
        assert found.calibrated_on and "Marionette" in found.calibrated_on
        assert json.loads(found.model_dump_json())["confidence"] == found.confidence
