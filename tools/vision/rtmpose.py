"""RTMPose (Jiang et al. 2023) by the path of its ONNX export: `VIDEO_STAR_VISION=rtmpose:/path/model.onnx`.

Top-down and SimCC (Li et al. 2022), as mmpose's configurations have it: each person's box seen alone, with a quarter
more around it, RGB by ImageNet's mean and deviation, and half-pixel bins across and down for each keypoint.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import BadWeights
from ..video.reader import Frames
from .blazepose import Skeletons
from .engines import Engine
from .onnx_model import OnnxModel
from .people import SSDLITE, PersonDetector

MEAN, STD = np.array([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])


class RtmPose:
    """One exported model, read at first use; people by `detector`."""

    def __init__(self, weights: Path, detector: PersonDetector = SSDLITE) -> None:
        self._model = OnnxModel(weights)
        self.people = detector.people

    def poses(self, frames: Frames) -> list[Skeletons]:
        """The people of each frame with their keypoints, in pixels of `frames.images`."""
        pictures = (Image.fromarray(image) for image in frames.images)
        return [(*found, self._joints(one, found[0])) for one, found in zip(pictures, self.people(frames), strict=True)]

    def _joints(self, picture: Image.Image, boxes: np.ndarray) -> np.ndarray:
        """The keypoints (people, 17, 3) of the people in these boxes."""
        height, width = self._model.shape[2] or 256, self._model.shape[3] or 192
        keypoints = np.zeros((len(boxes), 17, 3), np.float32)
        for person, box in zip(keypoints, boxes, strict=True):
            scale = float((1.25 * (box[2:] - box[:2]) / (width, height)).max())
            corner = (box[:2] + box[2:]) / 2 - scale * np.array([width, height]) / 2
            x, y = corner + 0.5 - scale / 2  # Pillow's pixels have their middles at halves, mmpose's at whole numbers.
            seen = (width, height), Image.Transform.AFFINE, (scale, 0, x, 0, scale, y), Image.Resampling.BILINEAR
            inputs = ((np.asarray(picture.transform(*seen)) - MEAN) / STD).transpose(2, 0, 1)[None]
            person[:] = self.read(self._model(inputs)) * (scale, scale, 1) + (*corner, 0)
        return keypoints

    def read(self, outputs: list[np.ndarray]) -> np.ndarray:
        """The keypoints (17, 3) in pixels of the input, from `simcc_x` and `simcc_y` (1, keypoints, 2 * pixels)."""
        # Models with feet (26) and of the whole body (133) begin with COCO's 17.
        if len(outputs) != 2 or outputs[0].shape[1] not in (17, 26, 133):
            raise BadWeights(f"no RTMPose of people answers in {[each.shape for each in outputs]}; give another export")
        bins = [np.nan_to_num(each[0], nan=0, posinf=0, neginf=0) for each in outputs]
        sure = np.minimum(*(each.max(axis=1) for each in bins)).clip(0, 1)
        return np.stack([*(each.argmax(axis=1) / 2 for each in bins), sure], axis=1)[:17]


def engine(path: str) -> Engine:
    """The engine that `rtmpose:PATH` names."""
    return Engine("rtmpose-1", model := RtmPose(Path(path).expanduser().resolve()), model)
