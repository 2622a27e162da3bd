"""Writing frames as video files with moviepy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from ..errors import BadInput
from ..output_files import MARK, replacing


def write_video(path: Path, images: Iterable[np.ndarray], fps: float) -> None:
    """Write images as a video: H.264 that all browsers play, or an animated GIF if the suffix is `.gif`.

    Args:
        path: The file, replaced if it exists, and only when the video is complete; its suffix is `.mp4` or `.gif`.
        images: (height, width, 3) uint8 RGB each, all of one size; an array (n, height, width, 3) works too. Mp4 needs
            even sizes: an odd width or height loses its last column or row.
        fps: Frames per second, above 0.

    Raises:
        BadInput: There are no images, or the suffix or the rate is invalid.
        OSError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise BadInput(f"unknown video format {path.name!r}; give a name that ends in .mp4 or .gif")
    if not fps > 0:
        raise BadInput(f"invalid frame rate {fps}; give a rate above 0")
    rest = iter(images)
    first = next(rest, None)
    if first is None:
        raise BadInput("no images to write; give at least one")
    if path.is_dir():
        raise OSError(f"could not write {path}: it is a folder; give the name of a file")
    with replacing(path) as part:
        if path.suffix.lower() == ".gif":
            _write_gif(part, list(chain([first], rest)), fps)
        else:
            _write_mp4(part, first, rest, fps)


def _write_mp4(path: Path, first: np.ndarray, rest: Iterable[np.ndarray], fps: float) -> None:
    """Write frame by frame, so that a long video is never in memory as a whole."""
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    height, width = (side - side % 2 for side in first.shape[:2])
    if not (height and width):
        raise BadInput(f"an image of shape {first.shape} is too small for mp4; give at least 2x2 pixels")
    options = ["-movflags", "+faststart", "-metadata", f"comment={MARK}"]
    with FFMPEG_VideoWriter(str(path), (width, height), fps, ffmpeg_params=options) as writer:
        for image in chain([first], rest):
            if image.shape != first.shape:
                raise BadInput(
                    f"images of shapes {image.shape} and {first.shape} in one video; give images of one size"
                )
            writer.write_frame(np.ascontiguousarray(image[:height, :width]))
        encoder = writer.proc
    if encoder.returncode or not path.is_file():
        raise OSError(
            f"ffmpeg could not write to {path.parent} (exit status {encoder.returncode}); check the disk and the folder"
        )


def _write_gif(path: Path, images: list[np.ndarray], fps: float) -> None:
    from moviepy import ImageSequenceClip

    ImageSequenceClip(images, fps=fps).write_gif(str(path), logger=None)
    _add_comment(path)


def _add_comment(gif: Path) -> None:
    """Add a comment block before the trailer, the last byte of a GIF."""
    with gif.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x21\xfe" + bytes([len(MARK)]) + MARK.encode() + b"\x00\x3b")
