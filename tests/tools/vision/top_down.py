"""An ONNX model with the input and outputs of an exported RTMPose and known results: each keypoint is a colour."""

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from pathlib import Path
from typing import Any

import numpy as np

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SPREAD = 30.0
"""Distance in RGB at which the response to a colour falls to 0.6."""


def colours(count: int) -> np.ndarray:
    """RGB colours (count, 3) around the colour wheel; none lies between another one and black."""
    return np.array([hsv_to_rgb(k / count, 1, 1) for k in range(count)]) * 255


def painted(size: tuple[int, int], spots: np.ndarray, radius: float) -> np.ndarray:
    """A black image (height, width, 3) uint8 with the colour of keypoint k at spots[k], fading out within the radius.

    Args:
        size: Width and height in pixels.
        spots: (keypoints, 2) x, y; pixel centres are integers.
        radius: Pixels.
    """
    y, x = np.mgrid[: size[1], : size[0]]
    picture = np.zeros((size[1], size[0], 3))
    for (across, down), colour in zip(spots, colours(len(spots)), strict=True):
        near = np.exp(-((x - across) ** 2 + (y - down) ** 2) / radius**2)
        picture += near[:, :, None] * colour
    return picture.clip(0, 255).round().astype(np.uint8)


def save(path: Path, keypoints: int = 17, *, size: tuple[int, int] = (192, 256), output: str = "simcc") -> Path:
    """Write the model, with a dynamic batch size as in the exports of mmdeploy and rtmlib.

    Args:
        path: The file to write.
        keypoints: Number of keypoints.
        size: Width and height of the input.
        output: "simcc" as in RTMPose; "maps" for heat maps at a quarter of the input size; or "nan".
    """
    from onnx import TensorProto, checker, helper, numpy_helper
    from onnx import save as write

    (width, height), floats = size, TensorProto.FLOAT
    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {
        "std": np.array(STD, np.float32).reshape(1, 3, 1, 1),
        "mean": np.array(MEAN, np.float32).reshape(1, 3, 1, 1),
        "colours": colours(keypoints).astype(np.float32).reshape(1, keypoints, 3, 1, 1),
        "sharp": np.array(-1 / (2 * SPREAD**2), np.float32),
        "one": np.array([1]),
        "two": np.array([2]),
        "three": np.array([3]),
        "double": np.array([1, 1, 2], np.float32),
        "quarter": np.array([1, 1, 0.25, 0.25], np.float32),
        "nan": np.array(np.nan if output == "nan" else 0, np.float32),
    }

    def node(kind: str, inputs: Sequence[str], name: str, **settings: Any) -> None:
        nodes.append(helper.make_node(kind, list(inputs), [name], **settings))

    node("Mul", ["input", "std"], "scaled")
    node("Add", ["scaled", "mean"], "rgb")
    node("Unsqueeze", ["rgb", "one"], "each")
    node("Sub", ["each", "colours"], "off")
    node("Mul", ["off", "off"], "squared")
    node("ReduceSum", ["squared", "two"], "far", keepdims=0)
    node("Mul", ["far", "sharp"], "near")
    node("Exp", ["near"], "sure")
    node("Add", ["sure", "nan"], "map")
    # Bin i of a row is at i / 2 pixels, which is the asymmetric mode of Resize.
    linear = {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}
    if output == "maps":
        node("Resize", ["map", "", "quarter"], "maps", **linear)
        outputs = [helper.make_tensor_value_info("maps", floats, ["batch", keypoints, height // 4, width // 4])]
    else:
        outputs = []
        for name, along, length in (("simcc_x", "two", width), ("simcc_y", "three", height)):
            node("ReduceMax", ["map", along], f"{name}_row", keepdims=0)
            node("Resize", [f"{name}_row", "", "double"], name, **linear)
            outputs.append(helper.make_tensor_value_info(name, floats, ["batch", keypoints, 2 * length]))
    inputs = [helper.make_tensor_value_info("input", floats, ["batch", 3, height, width])]
    used = {name for each in nodes for name in each.input}
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    graph = helper.make_graph(nodes, "top_down", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    write(model, path)
    return path
