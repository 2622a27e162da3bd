"""Untrained YOLO11n-pose and YOLO26n-pose with a head set by hand, so that its results are known."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from video_star.tools.vision.yolo import isolated_ultralytics

LARGE = 2
"""Index of the head's level of stride 32."""


def architecture(name: str = "yolo11n-pose") -> Any:
    """An ultralytics `YOLO` with random weights, normalised so that the output depends on the image."""
    torch = import_module("torch")
    with isolated_ultralytics():
        yolo = import_module("ultralytics").YOLO
    torch.manual_seed(0)
    model = yolo(f"{name}.yaml")
    for layer in model.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        model.model.train()(torch.rand(4, 3, 96, 160))
    model.model.eval()
    return model


def save(path: Path, change: Callable[[Any], None], name: str = "yolo11n-pose") -> Path:
    """Save the architecture as a checkpoint after applying `change` to its head."""
    model = architecture(name)
    with import_module("torch").no_grad():
        change(model.model.model[-1])
    model.save(str(path))
    return path


def trained_at(size: int, checkpoint: Path, out: Path) -> Path:
    """A copy of the checkpoint that says it was trained on images of `size` pixels."""
    torch = import_module("torch")
    content = torch.load(checkpoint, weights_only=False)
    torch.save(content | {"train_args": {"imgsz": size}}, out)
    return out


def export(checkpoint: Path, format: str, **settings: Any) -> Path:
    """The checkpoint exported next to it as .onnx or OpenVINO folder, with dynamic shapes."""
    yolo = import_module("ultralytics").YOLO
    options = {"simplify": False} if format == "onnx" else {}
    return Path(yolo(str(checkpoint)).export(format=format, dynamic=True, verbose=False, **options, **settings))


def tiles(head: Any) -> None:
    """A person in each square of 32x32 pixels of the input, all keypoints in the centre, score 0.88."""
    for level in range(3):
        for branch in (head.cv2, head.cv3, head.cv4):
            branch[level][-1].weight.zero_()
        # Distances to the four sides are means over bins 0..15: equal weights of 0 and 1 give half a stride.
        head.cv2[level][-1].bias.fill_(-50).view(4, 16)[:, :2] = 0
        head.cv3[level][-1].bias.fill_(-20)
        # x and y are decoded as (2 * raw + corner of the cell) * stride.
        joints = head.cv4[level][-1].bias.view(17, 3)
        joints[:, :2], joints[:, 2] = 0.25, 2.0
    head.cv3[LARGE][-1].bias[0] = 2.0


def nobody(head: Any) -> None:
    """No score reaches the threshold."""
    tiles(head)
    head.cv3[LARGE][-1].bias[0] = -20


def not_numbers(head: Any) -> None:
    """Boxes are found, but one coordinate of a keypoint is NaN."""
    tiles(head)
    head.cv4[LARGE][-1].bias[0] = float("nan")


def scattered(head: Any) -> None:
    """People of random sizes, scores and positions."""
    for level in range(3):
        head.cv3[level][-1].weight.mul_(0.1)
        head.cv3[level][-1].bias.fill_(-8)
        head.cv3[level][-1].bias[0] = -0.5


def scattered_26(head: Any) -> None:
    """The same for the branch of YOLO26 that needs no suppression."""
    for level in range(3):
        head.one2one_cv3[level][-1].weight.mul_(0.1)
        head.one2one_cv3[level][-1].bias.fill_(-8)
        head.one2one_cv3[level][-1].bias[0] = -0.5
