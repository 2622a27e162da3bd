"""COCO metrics of boxes and keypoints, compared with values calculated by hand."""

import numpy as np
import pytest

from video_star.evals.keypoint_metrics import BODY, SIGMAS, GroundTruth, average_precision, measure, oks
from video_star.tools.vision.detections import Skeletons


def person(x: float = 0, y: float = 0, visibility: float = 2) -> np.ndarray:
    """Keypoints (17, 3) in a row."""
    points = np.zeros((17, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = x + np.arange(17), y, visibility
    return points


def found(*people: tuple[float, np.ndarray, tuple[float, float, float, float]]) -> Skeletons:
    scores, keypoints, boxes = zip(*people, strict=True) if people else ((), (), ())
    return (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(keypoints, np.float32).reshape(-1, 17, 3),
    )


def test_oks_of_one_displaced_keypoint() -> None:
    true, off = person(), person()
    # The nose of a person of 10,000 square pixels: s = 100, k = 0.052, so 5.2 pixels give exp(-1/2).
    off[0, 1] += 5.2
    assert oks(off[None], true[None], np.array([10_000.0]))[0, 0] == pytest.approx((16 + np.exp(-0.5)) / 17)
    # The same for a hip, with k = 0.214.
    off = person()
    off[11, 0] += 21.4
    assert oks(off[None], true[None], np.array([10_000.0]))[0, 0] == pytest.approx((16 + np.exp(-0.5)) / 17)
    assert SIGMAS[11] == 0.107


def test_oks_ignores_unlabelled_keypoints() -> None:
    true = person()
    true[3:, 2] = 0
    far = person()
    far[3:, :2] += 1000
    far[0, :2] += 1000
    assert oks(far[None], true[None], np.array([100.0]))[0, 0] == pytest.approx(2 / 3)
    true[:, 2] = 0
    assert oks(far[None], true[None], np.array([100.0])).tolist() == [[0.0]]
    assert oks(np.zeros((0, 17, 3)), true[None], np.array([100.0])).shape == (0, 1)


def test_average_precision_equals_the_hand_calculation() -> None:
    # Hit, miss, hit of 3: recall 1/3 at precision 1, 2/3 at 2/3; 34 recalls are at most 1/3, 33 more at most 2/3.
    picture = (np.array([0.9, 0.8, 0.7]), np.array([[0.9, 0, 0], [0.4, 0, 0.3], [0, 0.6, 0]]))
    assert average_precision([picture], 0.5) == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert average_precision([picture], 0.7) == pytest.approx(34 / 101)
    assert average_precision([picture], 0.95) == 0


def test_a_person_is_matched_only_once() -> None:
    twice = (np.array([0.5, 0.9]), np.array([[1.0], [0.8]]))
    assert average_precision([twice], 0.5) == 1, "the higher score counts; the other comes after full recall"
    twice = (np.array([0.9, 0.5]), np.array([[1.0, 0], [0.8, 0]]))
    assert average_precision([twice], 0.5) == pytest.approx(51 / 101)


def test_scores_are_ranked_across_pictures() -> None:
    right, wrong = (np.array([0.4]), np.array([[1.0]])), (np.array([0.6]), np.zeros((1, 0)))
    assert average_precision([right, wrong], 0.5) == pytest.approx(1 / 2)
    assert average_precision([wrong], 0.5) == average_precision([], 0.5) == 0


def test_a_set_of_pictures_is_evaluated() -> None:
    box = (0.0, 0.0, 100.0, 100.0)
    truth = GroundTruth(np.array([box, (200, 0, 300, 100)]), np.stack([person(20, 20), person(220, 20)]))
    off = person(20, 20)
    off[:, 1] += 2 * SIGMAS * np.sqrt(BODY * 10_000)
    got = measure([found((0.9, off, (0, 0, 100, 82)))], [truth])
    assert got.recall == 0.5 and got.mean_iou == pytest.approx(0.82)
    assert got.mean_oks == pytest.approx(np.exp(-0.5))
    # One of two people: 51 of 101 recalls, at thresholds below 0.82 and 0.607.
    assert got.box_map == pytest.approx(51 / 101 * 7 / 10)
    assert got.oks_map == pytest.approx(51 / 101 * 3 / 10)
    nothing = measure([found()], [truth])
    assert nothing == measure([], []) and nothing.recall == nothing.oks_map == 0
