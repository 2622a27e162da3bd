"""Objects: names, identities, whose hand they are near, and where the tool is offered."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from video_star.graph.run import checked_context
from video_star.graph.state import Context
from video_star.tools.drawing.annotators import ObjectAnnotator
from video_star.tools.errors import BadInput
from video_star.tools.registry import tool
from video_star.tools.video.clip import open_clip
from video_star.tools.video.reader import Frames
from video_star.tools.vision import engines
from video_star.tools.vision.detections import Engine, NamedDetections
from video_star.tools.vision.objects import Objects, detect_objects
from video_star.tools.vision.pose import Poses

SIZE = (640, 480)


class Juggler:
    """A ball that moves to the right, a cup that stays, and a horse seen once."""

    def objects(self, frames: Frames) -> Sequence[NamedDetections]:
        found: list[NamedDetections] = []
        for k in range(len(frames)):
            boxes = [[100 + 10 * k, 200, 130 + 10 * k, 230], [500, 300, 530, 350]]
            names, scores = ["sports ball", "cup"], [0.9, 0.8]
            if k == 3:
                boxes, names, scores = [*boxes, [0, 0, 50, 50]], [*names, "horse"], [*scores, 0.4]
            found.append((np.array(boxes, np.float32), np.array(scores, np.float32), names))
        return found


def frames(count: int = 10, scale: float = 1.0) -> Frames:
    return Frames(np.zeros((count, 480, 640, 3), np.uint8), np.arange(count) / 8, scale)


def holding(count: int, wrist: tuple[float, float], moves: float = 10.0) -> Poses:
    """Somebody whose right forearm is 60 pixels long and whose wrist moves to the right."""
    keypoints = np.zeros((count, 17, 3), np.float32)
    for k in range(count):
        keypoints[k, 10] = (wrist[0] + moves * k, wrist[1], 1)
        keypoints[k, 8] = (wrist[0] + moves * k - 60, wrist[1], 1)
    boxes = np.tile(np.array([50, 50, 300, 400], np.float32), (count, 1))
    one = np.ones(count, np.int64)
    return Poses(np.arange(count) / 8, SIZE, np.arange(count), boxes, np.ones(count, np.float32), one, keypoints)


def test_objects_keep_their_identities_and_names() -> None:
    found = detect_objects(frames(), Juggler())
    assert set(zip(found.names.tolist(), found.tracks.tolist(), strict=True)) == {("sports ball", 1), ("cup", 2)}
    assert len(found) == 20, "the horse, seen once at a low score, is dropped"
    text = found.summary(Poses.empty(found.times, SIZE))
    assert (
        text.startswith("Object 1, sports ball: 0.0 to 1.1 s, from far left to left of centre.")
        and "Object 2, cup:" in text
    )


def test_boxes_are_in_pixels_of_the_original_frame() -> None:
    assert np.allclose(
        detect_objects(frames(scale=0.5), Juggler()).boxes, detect_objects(frames(), Juggler()).boxes * 2
    )


def test_the_hand_near_an_object_is_told() -> None:
    found = detect_objects(frames(), Juggler())
    held = found.summary(holding(10, (95, 215)))
    assert "sports ball: 0.0 to 1.1 s" in held and "near the right hand of person 1 from 0.0 to 1.1 s" in held
    assert held.count("near the") == 1, "the cup is far from the hand"
    assert "near the" not in found.summary(holding(10, (20, 20)))
    beside = holding(10, (95, 215))
    beside.keypoints[:, 10, 2] = 0.1
    assert "near the" not in found.summary(beside), "a wrist that is not visible is nowhere"


def test_nothing_found_is_said() -> None:
    class Nothing:
        def objects(self, frames: Frames) -> Sequence[NamedDetections]:
            return [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), []) for _ in frames.times]

    found = detect_objects(frames(), Nothing())
    assert not len(found) and found.summary(Poses.empty(found.times, SIZE)) == "No known objects found in 10 frames."


def test_arrays_of_another_length_are_refused() -> None:
    found = detect_objects(frames(), Juggler())
    with pytest.raises(ValueError, match="names"):
        Objects(found.times, SIZE, found.frame, found.boxes, found.scores, found.names[:-1], found.tracks)


def test_the_tool_is_offered_where_the_engine_finds_objects(
    walking_clip: Path, warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "detect_objects" not in Context().tools
    with pytest.raises(BadInput, match="VIDEO_STAR_VISION"):
        checked_context({"tools": ["detect_objects"]})
    with pytest.raises(BadInput, match="VIDEO_STAR_VISION"):
        tool("detect_objects").run(open_clip(str(walking_clip), 0, 1), [], 1)
    embedded = engines.EMBEDDED
    juggling = Engine("juggling-1", embedded.detector, embedded.estimator, objects=Juggler())
    monkeypatch.setattr("video_star.tools.registry.engine", lambda: juggling)
    monkeypatch.setattr("video_star.tools.registry.engine_name", lambda: juggling.name)
    assert Context().tools[-1] == "detect_objects" and checked_context({}).tools[-1] == "detect_objects"
    found = tool("detect_objects").run(open_clip(str(walking_clip), 0, 1), [], 2)
    assert "sports ball" in found.summary and len(found.frames) == 2


def test_objects_are_drawn_with_their_names() -> None:
    found = detect_objects(frames(), Juggler())
    scene = frames().images[0]
    drawn = ObjectAnnotator().annotate(scene, found, 0, 1.0)
    assert (drawn != scene).any() and not scene.any()
    nobody = found.where(found.frame == 5)
    assert ObjectAnnotator().annotate(scene, nobody, 0, 1.0) is scene
