"""An engine of your own: whatever moves in front of a still camera counts as a person.

Run: `python examples/own_engine.py [VIDEO]`, or use it anywhere with
`PYTHONPATH=examples VIDEO_STAR_VISION=own_engine:40 video-star recognize ...`. docs/engines.md describes the protocol.
"""

import os
import sys
from collections.abc import Sequence

import numpy as np

from video_star import langchain_tool
from video_star.tools.video.reader import Frames
from video_star.tools.video.source import DEMO_CLIP
from video_star.tools.vision.detections import Engine


class MotionDetector:
    """Finds the region that differs from the median of all frames; knows no joints."""

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold

    def people(self, frames: Frames) -> Sequence[tuple[np.ndarray, np.ndarray]]:
        """Boxes (0 or 1, 4) and scores of each frame."""
        background = np.median(frames.images, axis=0)
        return [self._box(np.abs(image - background).max(axis=2) > self.threshold) for image in frames.images]

    def poses(self, frames: Frames) -> Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The same with keypoints (0 or 1, 17, 3) that are all invisible."""
        found = self.people(frames)
        return [(boxes, scores, np.zeros((len(boxes), 17, 3), np.float32)) for boxes, scores in found]

    def _box(self, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, x = np.nonzero(moving)
        corners = [[x.min(), y.min(), x.max() + 1, y.max() + 1]] if len(x) else np.zeros((0, 4))
        boxes = np.array(corners, np.float32)
        return boxes, np.ones(len(boxes), np.float32)


def engine(argument: str) -> Engine:
    """Called with the text after the colon of `VIDEO_STAR_VISION`."""
    detector = MotionDetector(int(argument))
    return Engine("motion-detector-1", detector, detector)


def main(video: str = str(DEMO_CLIP)) -> None:
    """Detect people in the first two seconds of a video with this engine."""
    os.environ["VIDEO_STAR_VISION"] = "own_engine:40"
    print(langchain_tool("detect_people").invoke({"video": video, "start": 0, "end": 2}))


if __name__ == "__main__":
    main(*sys.argv[1:])
