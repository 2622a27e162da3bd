"""Sentences about measured motion: who is named, what is left out, and that no two contradict each other."""

from dataclasses import replace

import pytest

from video_star.tools.motion.motion_result import MeasuredPrimitive, Motion, PersonMotion
from video_star.tools.motion.sentences import SURE, action_clauses, camera_sentence, clause
from video_star.tools.motion_primitives import PRIMITIVES
from video_star.tools.vision.people import people_sentence

PAIRS = {"approach", "separate", "close_together", "arms_around", "hands_meet", "strike", "faces_meet"}


OF_HANDS = {"hands_close", "hands_touch", "fingers_work"}


def person(track: int, prominence: float = 1.0) -> PersonMotion:
    return PersonMotion(track, 0.0, 4.0, 0.0, 0.0, 5.0, 170.0, None, prominence)


def measured(
    name: str, support: float = 0.9, span: tuple[float, float] = (0.0, 4.0), actor: int = 1, partner: int = 0
) -> MeasuredPrimitive:
    return MeasuredPrimitive(name, support, *span, actor, partner)


def clauses(*primitives: MeasuredPrimitive, people: tuple[PersonMotion, ...] = (person(1), person(2))) -> str:
    return "; ".join(action_clauses(Motion((0.0, 4.0), primitives, people, len(people))))


def test_every_clause_names_its_actor_once() -> None:
    for name in PRIMITIVES:
        if name.startswith("camera_") or name in ("thing_opens", "thing_closes", *OF_HANDS):
            continue
        pair = name in PAIRS or name.startswith("things_") or "another" in PRIMITIVES[name]
        text = clause(measured(name, actor=41, partner=52 if pair else 0))
        assert text.count("41") == 1 and text.count("52") == pair, text
        assert not any(words in text for words in ("one person", "two people", "another", "an object")), text


def test_hands_in_close_view_belong_to_nobody() -> None:
    assert clauses(*(measured(name, actor=0) for name in sorted(OF_HANDS)), people=()) == (
        "from 0.0 s the fingers of a hand move; from 0.0 s hands fill the picture; "
        "from 0.0 s two hands touch each other in close view"
    )


def test_what_is_not_well_supported_is_not_told() -> None:
    told = clauses(measured("steps", SURE), measured("wave", SURE - 0.01), measured("kick", 0.31))
    assert told == "from 0.0 s person 1 takes steps"


def test_only_main_actors_are_told_of() -> None:
    spectator = person(2, prominence=0.3)
    told = clauses(measured("arm_raise"), measured("torso_bend", actor=2), people=(person(1), spectator))
    assert "person 1" in told and "person 2" not in told
    assert not clauses(measured("arms_around", actor=1, partner=2), people=(person(1), spectator))
    assert clauses(measured("torso_bend", actor=2), people=(person(1), replace(spectator, prominence=0.6)))


@pytest.mark.parametrize(
    ("one", "other"),
    [("upright", "seated"), ("approach", "separate"), ("thing_moves_up", "thing_moves_down"), ("lie", "upright")],
)
def test_of_two_contradictory_primitives_the_better_supported_is_told(one: str, other: str) -> None:
    partner = 2 if one == "approach" else 0
    told = clauses(measured(one, 0.95, partner=partner), measured(other, 0.7, partner=partner))
    assert told == f"from 0.0 s {clause(measured(one, partner=partner))}"


def test_contradictory_primitives_at_different_times_or_of_different_people_are_both_told() -> None:
    assert clauses(measured("upright", span=(0, 1)), measured("seated", span=(2, 4))).count("person 1") == 2
    told = clauses(measured("upright"), measured("seated", actor=2))
    assert "person 1" in told and "person 2" in told


@pytest.mark.parametrize("name", ["seated", "face_motion", "head_motion", "stay_in_place"])
def test_rest_is_told_only_of_somebody_who_rests(name: str) -> None:
    # Weak evidence of moving is enough for doubt.
    assert not clauses(measured(name), measured("travel", 0.4))
    assert clauses(measured(name), measured("travel", 0.4, actor=2))
    assert clauses(measured(name, span=(0, 1)), measured("travel", 0.4, span=(2, 4)))


def test_a_cut_does_not_make_a_turning_camera_still() -> None:
    turning = Motion((0.0, 4.0), (measured("camera_turns_left", 0.5, actor=0),), cuts=(2.0,))
    assert camera_sentence(turning) == "The camera turns left."
    assert camera_sentence(Motion((0.0, 4.0), (), camera_drift=(-30.0, 40.0), cuts=(2.0,))) == (
        "The camera moves; the scene drifts at 50 pixels/s."
    )
    still = (measured("camera_turns_left", 0.0, actor=0),)
    assert camera_sentence(Motion((0.0, 4.0), still)) == "The camera is still."
    assert camera_sentence(Motion((0.0, 4.0), still, cuts=(2.0,))) == "The camera is still between the cuts."
    assert camera_sentence(Motion((0.0, 4.0), ())) == "Whether the camera moves was not measured."


def test_people_are_counted_as_seen_at_once() -> None:
    assert people_sentence(0, 0) == "Nobody is seen."
    assert people_sentence(0, 2) == "People are seen only briefly."
    assert people_sentence(1, 1) == "One person is seen."
    assert people_sentence(1, 6) == "One person is seen at a time, 6 in all."
    assert people_sentence(3, 3) == "3 people are seen at once."
    assert people_sentence(3, 5) == "3 people are seen at once, 5 in all."
