"""Geometry of boxes and skeletons, and non-maximum suppression."""

import numpy as np

from video_star.tools.vision.detections import KEYPOINTS, SKELETON, box_iou, non_maximum_suppression, pose_distance


def test_iou_is_one_for_equal_and_zero_for_distant_boxes() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]])
    assert np.allclose(box_iou(boxes, boxes)[0], [1, 0.5, 0])


def test_pose_distance_needs_four_keypoints_visible_in_both() -> None:
    pose = np.ones((17, 3))
    assert pose_distance(pose, pose + [10, 0, 0], size=100) == 0.1
    hidden = pose * [1, 1, 0]
    assert np.isnan(pose_distance(pose, hidden, size=100))


def test_bones_connect_joints_of_one_side() -> None:
    assert len(KEYPOINTS) == 17
    for a, b in SKELETON[7:]:
        sides = {KEYPOINTS[joint].split()[0] for joint in (a, b)}
        assert len(sides) == 1 or {a, b} in ({5, 6}, {11, 12})


def test_suppression_keeps_the_best_box_of_each_person() -> None:
    boxes = np.array([[0, 0, 10, 20], [1, 0, 11, 20], [2, 2, 8, 10], [40, 0, 50, 20]], np.float32)
    assert non_maximum_suppression(boxes, np.array([0.8, 0.9, 0.95, 0.5])).tolist() == [2, 3]
    assert non_maximum_suppression(boxes, np.array([0.8, 0.9, 0.3, 0.5])).tolist() == [1, 3]


def test_suppression_without_containment_keeps_a_box_inside_another() -> None:
    boxes = np.array([[0, 0, 10, 20], [2, 2, 8, 10]], np.float32)
    assert non_maximum_suppression(boxes, np.array([0.8, 0.9]), 0.7, containment=None).tolist() == [1, 0]


def test_suppression_by_overlap_starts_at_the_given_iou() -> None:
    """The boxes share 7 of 10 rows: an IoU of 0.54, and less of either than counts as containment."""
    boxes = np.array([[0, 0, 10, 10], [0, 3, 10, 13]], np.float32)
    assert non_maximum_suppression(boxes, np.array([0.8, 0.9]), iou=0.5).tolist() == [1]
    assert non_maximum_suppression(boxes, np.array([0.8, 0.9]), iou=0.6).tolist() == [1, 0]
