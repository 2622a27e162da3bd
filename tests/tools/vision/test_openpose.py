"""OpenPose from an ONNX export: drawn maps and fields with known people, and the way through a real session."""

from pathlib import Path

import numpy as np
import pytest

from video_star.tools.errors import BadWeights
from video_star.tools.video.reader import Frames
from video_star.tools.vision.engines import engine
from video_star.tools.vision.openpose import BODY_25, COCO_18, Layout, OpenPose, decode

pytestmark = pytest.mark.slow

STANDING = {
    "nose": (0, -9), "neck": (0, -6), "right shoulder": (-3, -6), "right elbow": (-4, -2), "right wrist": (-4, 2),
    "left shoulder": (3, -6), "left elbow": (4, -2), "left wrist": (4, 2), "right hip": (-2, 3), "right knee": (-2, 8),
    "right ankle": (-2, 13), "left hip": (2, 3), "left knee": (2, 8), "left ankle": (2, 13), "right eye": (-1, -10),
    "left eye": (1, -10), "right ear": (-2, -9), "left ear": (2, -9), "middle hip": (0, 3),
}  # fmt: skip
NAMES = {
    18: ("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
         "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye",
         "right ear", "left ear"),
    25: ("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
         "middle hip", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye",
         "left eye", "right ear", "left ear"),
}  # fmt: skip
COCO = ("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
        "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
        "right ankle")  # fmt: skip


def person(x: float, y: float, layout: Layout, without: tuple[str, ...] = ()) -> dict[int, np.ndarray]:
    """Positions of the parts of somebody who stands at x, y, in cells."""
    names = NAMES[layout.parts]
    return {k: np.add(STANDING[name], (x, y)) for k, name in enumerate(names) if name not in without}


def drawn(
    people: list[dict[int, np.ndarray]], layout: Layout, size: tuple[int, int] = (46, 62)
) -> tuple[np.ndarray, np.ndarray]:
    """Heat maps with a Gaussian at each part, and fields that are unit vectors along each limb."""
    y, x = np.mgrid[: size[0], : size[1]]
    maps = np.zeros((layout.parts, *size), np.float32)
    fields = np.zeros((2 * len(layout.limbs), *size), np.float32)
    for parts in people:
        for part, (px, py) in parts.items():
            maps[part] = np.maximum(maps[part], 0.9 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2))
        for (one, other), channel in zip(layout.limbs, layout.fields, strict=True):
            if one in parts and other in parts:
                along = parts[other] - parts[one]
                length = np.linalg.norm(along)
                unit = along / length
                dx, dy = x - parts[one][0], y - parts[one][1]
                forward, aside = dx * unit[0] + dy * unit[1], np.abs(dx * unit[1] - dy * unit[0])
                on = (forward >= -1) & (forward <= length + 1) & (aside <= 1)
                fields[channel : channel + 2, on] = unit[:, None]
    return maps, fields


@pytest.mark.parametrize("layout", [COCO_18, BODY_25], ids=["18", "25"])
def test_people_are_put_together_from_maps_and_fields(layout: Layout) -> None:
    people = [person(15.3, 20.0, layout), person(26.0, 22.6, layout), person(46.2, 24.0, layout)]
    found = decode(*drawn(people, layout), layout)
    assert len(found) == 3
    for parts, expected in zip(found[np.argsort(found[:, 0, 0])], people, strict=True):
        for part, place in expected.items():
            assert np.linalg.norm(parts[part, :2] - place) < 0.35 and parts[part, 2] > 0.7, part


def test_parts_that_are_not_seen_are_zero_and_few_parts_are_nobody() -> None:
    legless = person(20, 20, COCO_18, without=("left knee", "left ankle", "right knee", "right ankle"))
    speck = {0: np.array([50.0, 10.0]), 14: np.array([49.0, 9.0])}
    found = decode(*drawn([legless, speck], COCO_18), COCO_18)
    assert len(found) == 1 and (found[0, [9, 10, 12, 13]] == 0).all() and (found[0, [8, 11], 2] > 0.7).all()
    assert decode(*drawn([], COCO_18), COCO_18).shape == (0, 18, 3)


def test_noise_without_fields_is_nobody() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((18, 46, 62)).astype(np.float32)
    assert not len(decode(maps, np.zeros((38, 46, 62), np.float32), COCO_18))


def saved(path: Path, outputs: list[np.ndarray], size: tuple[int, int] = (368, 496)) -> Path:
    """An ONNX model that gives these outputs for any picture."""
    from onnx import TensorProto, helper, numpy_helper
    from onnx import save as write

    floats = TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["none"]),
    ]
    constants = [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    infos = []
    for k, output in enumerate(outputs):
        constants.append(numpy_helper.from_array(output[None].astype(np.float32), f"constant{k}"))
        nodes.append(helper.make_node("Add", [f"constant{k}", "none"], [f"output{k}"]))
        infos.append(helper.make_tensor_value_info(f"output{k}", floats, [1, *output.shape]))
    shape = helper.make_tensor_value_info("input", floats, [1, 3, *size])
    graph = helper.make_graph(nodes, "openpose", [shape], infos, constants)
    write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize("layout", [COCO_18, BODY_25], ids=["18", "25"])
@pytest.mark.parametrize("as_one", [True, False])
def test_an_export_gives_coco_keypoints_in_pixels_of_the_frame(
    layout: Layout, as_one: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="writes an ONNX model")
    maps, fields = drawn([person(30, 22, layout)], layout)
    every = np.concatenate([maps, np.zeros((1, 46, 62), np.float32)])
    outputs = [np.concatenate([every, fields])] if as_one else [fields, every]
    model = saved(tmp_path / "model.onnx", outputs)
    monkeypatch.setenv("VIDEO_STAR_VISION", f"openpose:{model}")
    chosen = engine()
    # The frame has half the size of the input.
    frames = Frames(np.zeros((2, 184, 248, 3), np.uint8), np.array([0.0, 0.1]), 1.0)
    for boxes, scores, keypoints in chosen.estimator.poses(frames):
        assert boxes.shape == (1, 4) and keypoints.shape == (1, 17, 3) and scores[0] > 0.7
        for name, (x, y, visible) in zip(COCO, keypoints[0], strict=True):
            expected = (np.add(STANDING[name], (30, 22)) + 0.5) * 4 - 0.5
            assert np.abs((x, y) - expected).max() < 2 and visible > 0.7, name
        assert (boxes[0, :2] < keypoints[0, :, :2].min(axis=0)).all()
        assert (boxes[0, 2:] > keypoints[0, :, :2].max(axis=0)).all()
    assert [len(boxes) for boxes, _ in chosen.detector.people(frames)] == [1, 1]
    assert chosen.name.startswith("openpose-1 ") and "non-commercial" in chosen.licence


def test_another_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="writes an ONNX model")
    model = saved(tmp_path / "model.onnx", [np.zeros((16, 46, 62), np.float32)])
    frames = Frames(np.zeros((1, 368, 496, 3), np.uint8), np.zeros(1), 1.0)
    with pytest.raises(BadWeights, match="not those of an OpenPose body model"):
        OpenPose(model).poses(frames)
