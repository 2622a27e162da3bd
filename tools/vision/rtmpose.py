"""RTMPose (Jiang et al. 2023) from an ONNX export: `VIDEO_STAR_VISION=rtmpose:/path/model.onnx`.

Top-down with SimCC (Li et al. 2022), as configured in mmpose: each person's box is cropped with a margin of a quarter,
RGB is normalised with ImageNet's mean and standard deviation, and each keypoint has half-pixel bins along x and y.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import BadWeights
from ..execution.cancellation import check_cancelled
from ..video.reader import Frames
from .detections import Engine, PersonDetector, Skeletons
from .onnx_model import OnnxModel
from .ssdlite import SSDLITE

MEAN, STD = np.array([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])


class RtmPose:
    """One exported model, loaded on first use; `detector` finds the people."""

    def __init__(self, weights: Path, detector: PersonDetector = SSDLITE) -> None:
        self._model = OnnxModel(weights)
        self.people = detector.people

    def poses(self, frames: Frames) -> list[Skeletons]:
        """The people of each frame with their keypoints, in pixels of `frames.images`."""
        return [
            (boxes, scores, self._keypoints(Image.fromarray(image), boxes))
            for image, (boxes, scores) in zip(frames.images, self.people(frames), strict=True)
        ]

    def _keypoints(self, picture: Image.Image, boxes: np.ndarray) -> np.ndarray:
        """The keypoints (people, 17, 3) of the people in these boxes."""
        height, width = self._model.shape[2] or 256, self._model.shape[3] or 192
        keypoints = np.zeros((len(boxes), 17, 3), np.float32)
        for person, box in zip(keypoints, boxes, strict=True):
            check_cancelled()
            scale = float((1.25 * (box[2:] - box[:2]) / (width, height)).max())
            corner = (box[:2] + box[2:]) / 2 - scale * np.array([width, height]) / 2
            x, y = corner + 0.5 - scale / 2  # Pillow puts pixel centres at halves, mmpose at integers.
            crop = (width, height), Image.Transform.AFFINE, (scale, 0, x, 0, scale, y), Image.Resampling.BILINEAR
            inputs = ((np.asarray(picture.transform(*crop)) - MEAN) / STD).transpose(2, 0, 1)[None]
            person[:] = self.read(self._model(inputs)) * (scale, scale, 1) + (*corner, 0)
        return keypoints

    def read(self, outputs: list[np.ndarray]) -> np.ndarray:
        """The keypoints (17, 3) in pixels of the input, from `simcc_x` and `simcc_y` (1, keypoints, 2 * pixels)."""
        # Models with feet (26) or of the whole body (133) start with the 17 of COCO.
        if len(outputs) != 2 or outputs[0].shape[1] not in (17, 26, 133):
            shapes = [each.shape for each in outputs]
            raise BadWeights(f"outputs {shapes} are not those of an RTMPose body model; give another export")
        bins = [np.nan_to_num(each[0], nan=0, posinf=0, neginf=0) for each in outputs]
        confidence = np.minimum(*(each.max(axis=1) for each in bins)).clip(0, 1)
        return np.stack([*(each.argmax(axis=1) / 2 for each in bins), confidence], axis=1)[:17]


def engine(path: str) -> Engine:
    """The engine named by `rtmpose:PATH`."""
    return Engine("rtmpose-1", model := RtmPose(Path(path).expanduser().resolve()), model)
