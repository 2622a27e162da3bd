"""Identities across frames."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from video_star.tools.vision.tracking import MAX_GAP, renumber, track

TIMES = np.arange(12) / 8.0


def walkers(starts: list[float], step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People of 30x90 pixels walking right by `step` pixels per frame: frame, boxes, true identity."""
    frame = np.repeat(np.arange(len(TIMES)), len(starts))
    person = np.tile(np.arange(len(starts)), len(TIMES))
    left = np.array(starts)[person] + step * frame
    return frame, np.stack([left, left * 0 + 50, left + 30, left * 0 + 140], axis=1), person


def test_identical_boxes_stay_one_track() -> None:
    boxes = np.tile([10.0, 10.0, 40.0, 100.0], (12, 1))
    assert (track(np.arange(12), boxes, np.full(12, 0.9), TIMES) == 1).all()


def test_walkers_keep_their_numbers_left_to_right() -> None:
    frame, boxes, person = walkers([0.0, 150.0, 320.0], step=12)
    assert (track(frame, boxes, np.full(len(frame), 0.8), TIMES) == person + 1).all()


def test_people_who_cross_are_distinguished_by_velocity() -> None:
    frame = np.repeat(np.arange(12), 2)
    left = np.where(np.tile([True, False], 12), 20.0 * frame, 230.0 - 20.0 * frame)
    boxes = np.stack([left, left * 0, left + 30, left * 0 + 90], axis=1)
    tracks = track(frame, boxes, np.full(24, 0.9), TIMES)
    assert (tracks == np.tile([1, 2], 12)).all()


def test_the_identity_survives_a_short_gap_but_not_a_long_one() -> None:
    box = np.tile([10.0, 10.0, 40.0, 100.0], (3, 1))
    times = np.arange(30) / 8
    assert track([0, 5, 6], box, np.ones(3), times).tolist() == [1, 1, 1]
    assert track([0, int(MAX_GAP * 8) + 2, 29], box, np.ones(3), times).tolist() == [1, 2, 3]


def test_a_still_person_is_tracked_across_sparse_frames() -> None:
    box = np.tile([10.0, 10.0, 40.0, 100.0], (4, 1))
    assert track(np.arange(4), box, np.ones(4), np.arange(4) * 1.25).tolist() == [1, 1, 1, 1]


def test_a_distant_detection_is_another_person() -> None:
    boxes = np.array([[0.0, 0, 30, 90], [400.0, 0, 430, 90]])
    assert track([0, 1], boxes, np.ones(2), TIMES).tolist() == [1, 2]


def test_skeletons_distinguish_people_in_the_same_box() -> None:
    box = np.tile([0.0, 0.0, 100.0, 100.0], (4, 1))
    here = np.concatenate([np.random.default_rng(0).uniform(0, 40, (17, 2)), np.ones((17, 1))], axis=1)
    there = here + [55, 20, 0]
    tracks = track([0, 0, 1, 1], box, np.ones(4), TIMES, np.stack([here, there, there, here]))
    assert tracks[2] == tracks[1] and tracks[3] == tracks[0] and tracks[0] != tracks[1]


def test_no_detections_give_no_tracks() -> None:
    assert track(np.zeros(0), np.zeros((0, 4)), np.zeros(0), TIMES).shape == (0,)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_order_of_detections_within_a_frame_does_not_matter(data: st.DataObject) -> None:
    coordinate = st.floats(0, 300)
    drawn = data.draw(st.lists(st.tuples(st.integers(0, 5), coordinate, coordinate, st.floats(0, 1)), max_size=25))
    frame = np.array([each[0] for each in drawn], np.int64)
    corner = np.array([each[1:3] for each in drawn], np.float64).reshape(-1, 2)
    scores = np.array([each[3] for each in drawn])
    # Equal detections cannot be distinguished.
    _, first = np.unique(np.column_stack([frame, corner, scores]), axis=0, return_index=True)
    frame, boxes, scores = frame[first], np.concatenate([corner, corner + [40, 90]], axis=1)[first], scores[first]
    order = np.array(data.draw(st.permutations(range(len(frame)))), np.int64)
    tracks = track(frame, boxes, scores, TIMES)
    assert (track(frame[order], boxes[order], scores[order], TIMES) == tracks[order]).all()
    for index in np.unique(frame):
        assert len(np.unique(tracks[frame == index])) == (frame == index).sum()
    assert set(tracks) == set(range(1, len(set(tracks)) + 1))


def test_renumber_closes_gaps() -> None:
    assert renumber(np.array([2, 2, 7, 5])).tolist() == [1, 1, 3, 2]
