"""YOLO11n-pose trained from nothing on Marionette's figures: a small model whose boxes and joints mean something.

Run as `python -m video_star.training.pose_detector FOLDER [--epochs 20] [--pictures 1200] [--threads 1]`, with the
extra [yolo]. It films the pictures, trains, and prints how well the model and the embedded engine do on figures of
other seeds. The same seeds give the same pictures; a run that broke off goes on from its last epoch. Nothing is
downloaded, installed or reported. FOLDER/yolo11n-pose-figures.pt, of half precision, is the result: made with
ultralytics, and under its licence, AGPL-3.0.
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

from ..evals.keypoint_metrics import Accuracy, Truth, measure
from ..evals.marionette.actions import ACTIONS
from ..evals.marionette.film import film
from ..tools.video.reader import Frames
from ..tools.vision.blazepose import BLAZEPOSE
from ..tools.vision.detections import PoseEstimator, Skeletons
from ..tools.vision.yolo import Yolo, isolated_ultralytics

NAME: Final = "yolo11n-pose-figures.pt"
SIZE: Final = 192
"""Pixels of the longer side of what the network sees, about what a film has."""
HELD_OUT: Final = 1_000_000
"""First seed of the films that are measured on; training begins at 0."""
MIRRORED: Final = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""Which keypoint each becomes in a mirror."""


def filmed(films: int, first: int, moments: Sequence[float] = (0.25, 0.75)) -> Iterator[tuple[np.ndarray, Truth]]:
    """Pictures (height, width, 3) uint8 of films of all actions in turn, every third film a hard one.

    Args:
        films: How many.
        first: Seed of the first; each has its own.
        moments: Which pictures to take of each, as parts of its length.
    """
    labels = sorted(ACTIONS)
    for k in range(films):
        shot = film(labels[k % len(labels)], first + k, hard=k % 3 == 2)
        for moment in moments:
            i = int(moment * len(shot.frames))
            there = np.isfinite(shot.boxes[i]).all(axis=1) & (shot.keypoints[i, :, :, 2] > 0).any(axis=1)
            yield shot.frames[i], Truth(shot.boxes[i][there], shot.keypoints[i][there])


def write_set(folder: Path, pictures: int) -> Path:
    """Write pictures and labels as ultralytics reads them, with a tenth more to watch; return what names them."""
    about = folder / "figures.yaml"
    if about.is_file():
        return about
    for part, films, first in (("train", pictures // 2, 0), ("val", pictures // 20, HELD_OUT)):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        for k, (image, truth) in enumerate(filmed(films, first)):
            Image.fromarray(image).save(folder / "images" / part / f"{k:05d}.png")
            (folder / "labels" / part / f"{k:05d}.txt").write_text(_labels(truth, image.shape[1], image.shape[0]))
    told = {"path": str(folder.resolve()), "train": "images/train", "val": "images/val", "names": {0: "person"}}
    about.write_text(yaml.safe_dump(told | {"kpt_shape": [17, 3], "flip_idx": list(MIRRORED)}))
    return about


def _labels(truth: Truth, width: int, height: int) -> str:
    """A line per person: class, box as centre and size, then the keypoints; 0..1 of the picture."""
    lines = []
    for box, points in zip(truth.boxes / (width, height, width, height), truth.keypoints, strict=True):
        scaled = points * (points[:, 2:] > 0) / (width, height, 1)
        numbers = [*(box[:2] + box[2:]) / 2, *box[2:] - box[:2], *scaled.ravel()]
        lines.append("0 " + " ".join(f"{number:.6g}" for number in numbers))
    return "\n".join(lines)


def train(folder: Path, epochs: int, pictures: int, threads: int) -> Path:
    """Train, or go on with a training that broke off, and return the weights."""
    made = folder / NAME
    if made.is_file():
        return made
    import torch

    with isolated_ultralytics():
        yolo = import_module("ultralytics").YOLO
    data = write_set(folder, pictures)
    last = folder / "run" / "weights" / "last.pt"
    model = yolo(str(last) if last.is_file() else "yolo11n-pose.yaml")
    # ultralytics sets the threads of torch itself, as many as there are cores but one.
    model.add_callback("on_train_start", lambda trainer: torch.set_num_threads(threads))
    if last.is_file():
        model.train(resume=True)
    else:
        model.train(data=str(data), epochs=epochs, project=str(folder.resolve()), name="run", **_settings())
    best = torch.load(folder / "run" / "weights" / "best.pt", weights_only=False)
    # What else the trainer keeps names folders of this machine.
    best["model"].args = about = {"imgsz": SIZE, "task": "pose"}
    torch.save({name: best[name] for name in ("model", "version", "license")} | {"train_args": about}, made)
    return made


def _settings() -> dict[str, Any]:
    """What differs from ultralytics' own: whole pictures, since few epochs are not enough for mosaics of four."""
    shown = {"imgsz": SIZE, "cache": "ram", "mosaic": 0.0, "scale": 0.3, "erasing": 0.0}
    # `nbs` as large as the batch: by default gradients of four batches make one step, and there are few steps as it is.
    steps = {"batch": 16, "nbs": 16, "optimizer": "AdamW", "lr0": 0.002, "cos_lr": True, "warmup_epochs": 1}
    same = {"pretrained": False, "device": "cpu", "workers": 0, "seed": 0, "deterministic": True}
    return shown | steps | same | {"val": False, "plots": False, "verbose": False, "exist_ok": True}


def compare(estimators: dict[str, PoseEstimator], films: int) -> dict[str, Accuracy]:
    """How well each engine does on films of other seeds than those trained on."""
    seen = list(filmed(films, HELD_OUT))
    truths = [truth for _, truth in seen]

    def look(estimator: PoseEstimator) -> list[Skeletons]:
        # Each picture is of another moment, so that no engine may carry anything on from the one before.
        return [estimator.poses(Frames(image[None], np.zeros(1), 1.0))[0] for image, _ in seen]

    return {name: measure(look(estimator), truths) for name, estimator in estimators.items()}


def main() -> None:
    """Train and print one line per engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    made = train(asked.folder, asked.epochs, asked.pictures, asked.threads)
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")
    for name, got in compare({"trained": Yolo(made), "embedded": BLAZEPOSE}, asked.pictures // 20).items():
        print(f"{name:9}", "  ".join(f"{measure} {value:.3f}" for measure, value in asdict(got).items()))


if __name__ == "__main__":
    main()
