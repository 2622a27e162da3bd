"""Animated WebP, read with Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from video_star.tools.errors import EmptyVideo, UnreadableVideo
from video_star.tools.video import webp
from video_star.tools.video.clip import open_clip
from video_star.tools.video.reader import probe, read_frames

from .hostile import number_of, painted


def animation(path: Path, milliseconds: list[int], **options: Any) -> Path:
    """A painted frame for each duration."""
    first, *rest = (Image.fromarray(painted(number, 320, 240)) for number in range(len(milliseconds)))
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, **options)
    return path


STARTS = np.array([*np.arange(0, 1, 0.1), *np.arange(1, 4, 0.3)])


@pytest.fixture
def moving(tmp_path: Path) -> Path:
    """Frames of 100 ms to 1 s, then of 300 ms to 4 s."""
    return animation(tmp_path / "moving.webp", [100] * 10 + [300] * 10, quality=90)


def test_frames_are_shown_as_long_as_the_file_says(moving: Path) -> None:
    info = probe(moving)
    assert (info.width, info.height, info.fps, info.duration, info.codec) == (320, 240, 5, 4, "webp")
    frames = read_frames(moving, [0, 0.05, 0.95, 1.0, 1.29, 3.99, 9], max_side=160)
    assert [number_of(image) for image in frames.images] == [0, 9, 10, 19] and frames.scale == 0.5
    assert frames.times.tolist() == [0, 0.9, 1.0, 3.7] and frames.images.shape == (4, 120, 160, 3)
    shown = open_clip(str(moving), 0.5, 2).frames()
    assert [number_of(image) for image in shown.images] == [5, 6, 8, 9, 10, 11, 12, 13]
    assert shown.times.tolist() == [0.5, 0.6, 0.8, 0.9, 1.0, 1.3, 1.6, 1.9]


def test_too_short_frames_are_shown_as_browsers_show_them(tmp_path: Path) -> None:
    path = animation(tmp_path / "short.webp", [0, 10, 11, 100], lossless=True)
    assert probe(path).duration == pytest.approx(0.311)
    assert read_frames(path, [0, 0.15, 0.2, 0.25]).times.tolist() == [0, 0.1, 0.2, 0.211]


def test_what_is_missing_or_damaged_is_noted(moving: Path, tmp_path: Path) -> None:
    content = moving.read_bytes()
    cut = tmp_path / "cut.webp"
    cut.write_bytes(content[: len(content) * 6 // 10])
    clip = open_clip(str(cut))
    assert 0.5 < clip.info.duration < 3 and f"of its {len(content)} bytes are not looked at" in clip.info.note
    frames = clip.frames()
    assert [number_of(image) for image in frames.images] == np.searchsorted(STARTS, frames.times - 0.01).tolist()
    damaged = tmp_path / "damaged.webp"
    middle = len(content) // 2
    damaged.write_bytes(content[:middle] + np.random.default_rng(0).bytes(400) + content[middle + 400 :])
    clip = open_clip(str(damaged))
    assert clip.info.note or clip.frames().note


def test_what_cannot_be_read_is_refused_with_the_reason(
    moving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = moving.read_bytes()
    cut = tmp_path / "cut.webp"
    cut.write_bytes(content[:60])
    with pytest.raises(UnreadableVideo, match="no whole frame"):
        probe(cut)
    cut.write_bytes(content[:80] + bytes(len(content) - 80))
    with pytest.raises((UnreadableVideo, EmptyVideo)):
        probe(cut)
    monkeypatch.setattr(webp, "MAX_PIXELS", 320 * 240 - 1)
    with pytest.raises(UnreadableVideo, match="320x240"):
        probe(moving)
    monkeypatch.setattr(webp, "MAX_BYTES", 1000)
    with pytest.raises(UnreadableVideo, match="convert it"):
        probe(moving)


def test_a_still_webp_is_a_video_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "still.webp"
    Image.fromarray(painted(7, 320, 240)).save(path)
    assert [number_of(image) for image in read_frames(path, [0, 1]).images] == [7]
