"""Annotators and the fonts of their text."""

import numpy as np
import pytest

from video_star.tools.drawing.annotators import (
    LEFT,
    RIGHT,
    WHITE,
    HandAnnotator,
    PeopleAnnotator,
    PoseAnnotator,
    TrailAnnotator,
    annotated,
    track_colour,
)
from video_star.tools.drawing.fonts import drawable
from video_star.tools.vision.hands import Hands
from video_star.tools.vision.pose import Poses

SCENE = np.full((240, 320, 3), 90, np.uint8)


@pytest.fixture
def poses() -> Poses:
    """One person who moves 40 pixels to the right from frame 0 to frame 2, in an original of twice the scene's size."""
    pose = np.zeros((17, 3), np.float32)
    pose[:, 0] = 300 + 20 * np.where(np.arange(17) % 2, 1, -1)
    pose[:, 1] = np.linspace(100, 400, 17)
    pose[:, 2] = 0.9
    steps = np.arange(3)[:, None, None] * np.array([40, 0, 0], np.float32)
    boxes = np.array([[260, 90, 340, 410]], np.float32) + np.arange(3)[:, None] * np.array([40, 0, 40, 0], np.float32)
    ones = np.ones(3, np.int64)
    return Poses(np.arange(4) / 8, (640, 480), np.arange(3), boxes, ones.astype(np.float32), ones, pose + steps)


@pytest.fixture
def hands() -> Hands:
    """A left and a right hand in frame 0, in an original of twice the scene's size."""
    points = np.zeros((2, 21, 3), np.float32)
    points[:, :, 0] = np.array([[150], [450]]) + 20 * (np.arange(21) // 4)
    points[:, :, 1] = 300 - 40 * (np.arange(21) % 4)
    right, ones = np.array([0.1, 0.9], np.float32), np.ones(2, np.float32)
    return Hands(np.arange(4) / 8, (640, 480), np.zeros(2, np.int64), points, ones, right, np.arange(2) + 1)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour)).all(axis=2).any())


def test_annotators_draw_on_a_copy_and_leave_empty_frames_unchanged(poses: Poses) -> None:
    before = SCENE.copy()
    for annotator in (PeopleAnnotator(), PoseAnnotator(), TrailAnnotator()):
        drawn = annotator.annotate(SCENE, poses, 2, 0.5)
        assert drawn.shape == SCENE.shape and drawn.dtype == np.uint8
        assert (drawn != SCENE).any() and (SCENE == before).all()
        assert (annotator.annotate(SCENE, poses, 3, 0.5) == SCENE).all()


def test_hands_are_drawn_by_side_with_their_finger_tips(hands: Hands) -> None:
    drawn = HandAnnotator().annotate(SCENE, hands, 0, 0.5)
    assert has(drawn[:, :160], LEFT) and not has(drawn[:, :160], RIGHT)
    assert has(drawn[:, 160:], RIGHT) and not has(drawn[:, 160:], LEFT)
    assert all((drawn[int(y / 2), int(x / 2)] == WHITE).all() for x, y in hands.keypoints[:, 8, :2].reshape(-1, 2))
    assert HandAnnotator().annotate(SCENE, hands, 3, 0.5) is SCENE


def test_layers_are_drawn_over_each_other(poses: Poses, hands: Hands) -> None:
    both = annotated(SCENE, [(PoseAnnotator(), poses), (HandAnnotator(), hands)], 0, 0.5)
    one = PoseAnnotator().annotate(SCENE, poses, 0, 0.5)
    assert (both == HandAnnotator().annotate(one, hands, 0, 0.5)).all() and (both != one).any()
    assert annotated(SCENE, [], 0, 0.5) is SCENE


def test_boxes_are_scaled_to_the_scene(poses: Poses) -> None:
    drawn = PeopleAnnotator().annotate(SCENE, poses, 0, 0.5)
    rows, columns = np.nonzero((drawn == np.array(track_colour(1))).all(axis=2))
    assert columns.min() == 130 and columns.max() == 170
    assert rows.max() == 205


def test_skeletons_show_left_and_right_and_only_visible_joints(poses: Poses) -> None:
    drawn = PoseAnnotator().annotate(SCENE, poses, 0, 0.5)
    assert has(drawn, LEFT) and has(drawn, RIGHT)
    poses.keypoints[:, 1::2, 2] = 0.1
    drawn = PoseAnnotator().annotate(SCENE, poses, 0, 0.5)
    assert not has(drawn, LEFT) and has(drawn, RIGHT)


def test_trails_grow_from_frame_to_frame(poses: Poses) -> None:
    painted = [(TrailAnnotator().annotate(SCENE, poses, i, 0.5) != SCENE).any(axis=2).sum() for i in range(3)]
    assert painted[0] == 0 < painted[1] < painted[2]


def test_line_width_grows_with_the_scene(poses: Poses) -> None:
    large = np.full((960, 1280, 3), 90, np.uint8)
    shares = [(PeopleAnnotator().annotate(s, poses, 0, k) != s).mean() for s, k in ((SCENE, 0.5), (large, 2.0))]
    assert 0.4 < shares[1] / shares[0] < 2.5


def test_characters_that_no_font_has_are_escaped() -> None:
    for text in ("walk", "crème brûlée", "обнять", "αγκαλιά", "行走", "🚶 \x00", "walk 走る"):
        line, font = drawable(text, 20)
        box = bytes(font.getmask("\uffff"))
        assert all(bytes(font.getmask(letter)) != box for letter in line), text
        assert "?" not in line
        if line != text:
            assert any(letter.encode("unicode_escape").decode() in line for letter in text), text
