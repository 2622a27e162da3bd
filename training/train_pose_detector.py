"""Trains YOLO11n-pose from scratch on Marionette: a small model with meaningful boxes and keypoints, for tests.

Run as `python -m video_star.training.train_pose_detector FOLDER [--epochs 20] [--pictures 1200] [--threads 1]`, with
the extra [yolo]. It renders the pictures, trains, and prints the accuracy of the model and of the embedded engine on
held-out seeds. The same seeds give the same pictures; an interrupted training is resumed from its last epoch. Nothing
is downloaded, installed or reported. The result, FOLDER/yolo11n-pose-figures.pt in half precision, is made with
ultralytics and under its licence, AGPL-3.0.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from PIL import Image

from ..evals.keypoint_metrics import Accuracy, GroundTruth, measure
from ..evals.marionette.actions import ACTIONS
from ..evals.marionette.clip_renderer import film
from ..tools.errors import OutputNotAllowed
from ..tools.execution.media_store import write_atomically
from ..tools.output_files import FOLDER_MARK, MARK, check_folder, replacing
from ..tools.video.reader import Frames
from ..tools.vision.blazepose import BLAZEPOSE
from ..tools.vision.detections import PoseEstimator, Skeletons
from ..tools.vision.yolo import Yolo, isolated_ultralytics

NAME: Final = "yolo11n-pose-figures.pt"
SIZE: Final = 192
"""Longer side of the network's input in pixels, about that of a clip."""
HELD_OUT: Final = 1_000_000
"""First seed of the held-out clips; training seeds start at 0."""
FLIPPED: Final = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""Index of the keypoint that each becomes in a flipped picture."""

Picture = tuple[np.ndarray, GroundTruth]


def pictures(clips: int, first: int, moments: Sequence[float] = (0.25, 0.75)) -> Iterator[Picture]:
    """Pictures (height, width, 3) uint8 from clips of all actions in turn, every third clip a hard one.

    Args:
        clips: Number of clips.
        first: Seed of the first; it is incremented for each.
        moments: The pictures to take from each clip, as fractions of its duration.
    """
    labels = sorted(ACTIONS)
    for k in range(clips):
        clip = film(labels[k % len(labels)], first + k, hard=k % 3 == 2)
        for moment in moments:
            i = int(moment * len(clip.frames))
            labelled = np.isfinite(clip.boxes[i]).all(axis=1) & (clip.keypoints[i, :, :, 2] > 0).any(axis=1)
            yield clip.frames[i], GroundTruth(clip.boxes[i][labelled], clip.keypoints[i][labelled])


def write_dataset(folder: Path, count: int) -> Path:
    """Write pictures and labels in ultralytics format, with a tenth more for validation; returns the YAML file."""
    path = folder / "figures.yaml"
    if path.is_file():
        return path
    for part, clips, first in (("train", count // 2, 0), ("val", count // 20, HELD_OUT)):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        for k, (image, truth) in enumerate(pictures(clips, first)):
            Image.fromarray(image).save(folder / "images" / part / f"{k:05d}.png")
            (folder / "labels" / part / f"{k:05d}.txt").write_text(_labels(truth, image.shape[1], image.shape[0]))
    config = {"path": str(folder.resolve()), "train": "images/train", "val": "images/val", "names": {0: "person"}}
    write_atomically(path, yaml.safe_dump(config | {"kpt_shape": [17, 3], "flip_idx": list(FLIPPED)}).encode())
    return path


def _labels(truth: GroundTruth, width: int, height: int) -> str:
    """One line per person: class, box as centre and size, and keypoints, relative to the picture."""
    lines = []
    for box, points in zip(truth.boxes / (width, height, width, height), truth.keypoints, strict=True):
        scaled = points * (points[:, 2:] > 0) / (width, height, 1)
        numbers = [*(box[:2] + box[2:]) / 2, *box[2:] - box[:2], *scaled.ravel()]
        lines.append("0 " + " ".join(f"{number:.6g}" for number in numbers))
    return "\n".join(lines)


def train(folder: Path, epochs: int, count: int, threads: int) -> Path:
    """Train on `count` pictures, or resume an interrupted training; returns the weights."""
    weights = folder / NAME
    if weights.is_file():
        return weights
    import torch

    with isolated_ultralytics():
        yolo = import_module("ultralytics").YOLO
    data = write_dataset(folder, count)
    last = folder / "run" / "weights" / "last.pt"
    model = yolo(str(last) if last.is_file() else "yolo11n-pose.yaml")
    # Set here because ultralytics sets the number of torch threads when training starts.
    model.add_callback("on_train_start", lambda trainer: torch.set_num_threads(threads))
    if last.is_file():
        model.train(resume=True)
    else:
        model.train(data=str(data), epochs=epochs, project=str(folder.resolve()), name="run", **_settings())
    best = torch.load(folder / "run" / "weights" / "best.pt", weights_only=False)
    # The trainer's other entries contain folders of this machine.
    best["model"].args = arguments = {"imgsz": SIZE, "task": "pose"}
    with replacing(weights) as part:
        torch.save({name: best[name] for name in ("model", "version", "license")} | {"train_args": arguments}, part)
    return weights


def _settings() -> dict[str, Any]:
    """Changes to the defaults of ultralytics: no mosaics, since there are only few epochs."""
    augmentation = {"imgsz": SIZE, "cache": "ram", "mosaic": 0.0, "scale": 0.3, "erasing": 0.0}
    # `nbs` equals the batch size: by default the gradients of four batches are accumulated, and there are few steps.
    optimization = {"batch": 16, "nbs": 16, "optimizer": "AdamW", "lr0": 0.002, "cos_lr": True, "warmup_epochs": 1}
    reproducible = {"pretrained": False, "device": "cpu", "workers": 0, "seed": 0, "deterministic": True}
    return (
        augmentation | optimization | reproducible | {"val": False, "plots": False, "verbose": False, "exist_ok": True}
    )


def compare(estimators: dict[str, PoseEstimator], clips: int) -> dict[str, Accuracy]:
    """Accuracy of each engine on held-out clips."""
    held_out = list(pictures(clips, HELD_OUT))
    truths = [truth for _, truth in held_out]

    def predict(estimator: PoseEstimator) -> list[Skeletons]:
        # One call per picture: they are of different clips, so an engine must not track from one to the next.
        return [estimator.poses(Frames(image[None], np.zeros(1), 1.0))[0] for image, _ in held_out]

    return {name: measure(predict(estimator), truths) for name, estimator in estimators.items()}


def main() -> None:
    """Train and print the accuracy of both engines; the folder is new, or one of an earlier training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    try:
        check_folder("the folder", options.folder)
    except OutputNotAllowed as error:
        parser.error(str(error))
    write_atomically(options.folder / FOLDER_MARK, f"{MARK}\n".encode())
    weights = train(options.folder, options.epochs, options.pictures, options.threads)
    print(f"{weights}: {weights.stat().st_size / 1e6:.1f} MB")
    for name, accuracy in compare({"trained": Yolo(weights), "embedded": BLAZEPOSE}, options.pictures // 20).items():
        print(f"{name:9}", "  ".join(f"{metric} {value:.3f}" for metric, value in asdict(accuracy).items()))


if __name__ == "__main__":
    main()
