"""Weights created once for all tests of engines, and the example engines of the documentation."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def yolo_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints: tiles.pt, nobody.pt, not_numbers.pt, scattered.pt; see `yolo_weights`."""
    if find_spec("ultralytics") is None:
        pytest.skip("needs ultralytics; install the extra yolo")
    from .vision import yolo_weights as made

    folder = tmp_path_factory.mktemp("weights")
    for change in (made.tiles, made.nobody, made.not_numbers, made.scattered):
        made.save(folder / f"{change.__name__}.pt", change)
    return folder


@pytest.fixture(scope="session")
def onnx_tiles(yolo_weights: Path) -> Path:
    """tiles.pt as .onnx."""
    if find_spec("onnx") is None:
        pytest.skip("needs onnx, with which ultralytics exports")
    from .vision.yolo_weights import export

    return export(yolo_weights / "tiles.pt", "onnx")


@pytest.fixture(scope="session")
def openvino_tiles(yolo_weights: Path) -> Path:
    """tiles.pt as an OpenVINO folder."""
    if find_spec("openvino") is None:
        pytest.skip("needs openvino")
    from .vision.yolo_weights import export

    return export(yolo_weights / "tiles.pt", "openvino")


@pytest.fixture(scope="session")
def rtmpose_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the input and outputs of RTMPose that detects colours; see `top_down`."""
    if find_spec("onnx") is None:
        pytest.skip("needs onnx")
    from .vision.top_down import save

    return save(tmp_path_factory.mktemp("rtmpose") / "rtmpose.onnx")


@pytest.fixture(scope="session")
def heat_maps_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with heat maps as outputs."""
    if find_spec("onnx") is None:
        pytest.skip("needs onnx")
    from .vision.top_down import save

    return save(tmp_path_factory.mktemp("maps") / "maps.onnx", output="maps")


@pytest.fixture(scope="session")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example modules of docs/engines.md, verbatim."""
    folder = tmp_path_factory.mktemp("documented")
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
    for block, name in re.findall(r"```python\n(# (\w+\.py)\n.*?)```", page, re.DOTALL):
        (folder / name).write_text(block, encoding="utf-8")
    return folder
