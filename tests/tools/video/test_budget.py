"""Small files that would take long: what is decoded is bounded, and what that costs is noted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from video_star import recognize
from video_star.tools import registry
from video_star.tools.video import budget, clock, decoder
from video_star.tools.video.clip import open_clip
from video_star.tools.video.reader import probe, read_frames

from .hostile import HostileFiles, number_of, painted, write_video

pytestmark = pytest.mark.slow

FRAMES = 400


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget of 100 small frames for each read."""
    monkeypatch.setattr(budget, "TOTAL", 100 * budget.PACKET)
    monkeypatch.setattr(budget, "PER_BYTE", 10**6)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all packets that are read for decoding, decoded or not."""
    sizes: list[int] = []
    real = clock.packets

    def counted(*arguments: Any) -> Iterator[Any]:
        for packet in real(*arguments):
            sizes.append(packet.size if packet else 0)
            yield packet

    monkeypatch.setattr(decoder, "packets", counted)
    return sizes


def lone_keyframe(path: Path, frames: int = FRAMES) -> Path:
    options = {"g": "100000", "sc_threshold": "0", "preset": "ultrafast", "bf": "0"}
    return write_video(path, range(frames), size=(160, 96), options=options)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "flv"])
def test_frames_that_are_too_far_are_replaced_by_earlier_ones(
    tmp_path: Path, limited: None, taken: list[int], suffix: str
) -> None:
    path = lone_keyframe(tmp_path / f"lone.{suffix}")
    probe(path)
    taken.clear()
    frames = read_frames(path, (np.arange(10) + 0.5) * FRAMES / 100)
    # Skipped packets count too, but less.
    assert len(taken) < 100 * budget.PACKET / budget.SKIPPED and 90 < len([size for size in taken if size]) < 1000
    assert [number_of(image) for image in frames.images] == [round(time * 10) for time in frames.times]
    assert len(frames) >= 5 and 9 < frames.times[-1] <= 10
    assert frames.note.startswith("decoding all of the video would take too long: of the 10 frames asked for, ")
    assert frames.note.endswith(f"by up to {38 - frames.times[-1]:.1f} s")


def test_work_does_not_grow_with_the_file(tmp_path: Path, limited: None, taken: list[int]) -> None:
    for suffix in ("mp4", "ts", "avi"):
        spent = []
        for frames in (FRAMES, 2 * FRAMES):
            path = lone_keyframe(tmp_path / f"{frames}.{suffix}", frames)
            probe(path)
            taken.clear()
            read_frames(path, (np.arange(10) + 0.5) * frames / 100)
            spent.append(len(taken))
        assert spent[1] <= 1.5 * spent[0], (suffix, spent)


def test_a_span_is_read_whatever_follows(hostile: HostileFiles, limited: None) -> None:
    for path in (hostile.three_hours, hostile.plain, hostile.transport_stream):
        frames = open_clip(str(path), 1, 4).frames()
        assert frames.note == "" and frames.times[0] <= 1.5


def test_large_frames_of_few_bytes_cost_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[int]
) -> None:
    monkeypatch.setattr(budget, "TOTAL", 20 * 1280 * 720)
    monkeypatch.setattr(budget, "PER_BYTE", 0)
    path = write_video(tmp_path / "large.mp4", range(60), size=(1280, 720), options={"preset": "ultrafast", "bf": "0"})
    taken.clear()
    assert "would take too long" in read_frames(path, np.arange(12) / 2, max_side=320).note
    assert len([size for size in taken if size]) < 30


def test_frames_that_cannot_be_decoded_cost_too(tmp_path: Path, limited: None, taken: list[int]) -> None:
    path = lone_keyframe(tmp_path / "lone.ts", 2 * FRAMES)
    content = bytearray(path.read_bytes())
    for place in range(188 * 40, len(content) - 188, 188):
        content[place + 60 : place + 188] = bytes(128)
    path.write_bytes(content)
    frames = read_frames(path, np.arange(0, 2 * FRAMES, 40) / 10)
    assert frames.note and len(taken) < 100 * budget.PACKET / budget.SKIPPED


def test_long_animations_cost_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = (Image.fromarray(painted(number, 160, 96)) for number in range(60))
    path = tmp_path / "long.webp"
    first.save(path, save_all=True, append_images=rest, duration=100)
    monkeypatch.setattr(budget, "TOTAL", 20 * budget.PACKET)
    monkeypatch.setattr(budget, "PER_BYTE", 10**6)
    frames = read_frames(path, np.arange(0, 6, 0.5))
    assert "would take too long" in frames.note and frames.times[-1] <= 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pictures_that_refer_to_too_many_others_are_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    size = (640, 480)
    monkeypatch.setattr(budget, "HELD", 14.5 * size[0] * size[1] * 1.5)
    times = np.arange(60) / 10
    usual = {"refs": "3", "bf": "3", "g": "12", "preset": "ultrafast"}
    plain = write_video(tmp_path / f"plain.{suffix}", range(60), size=size, options=usual)
    assert read_frames(plain, times).note == "" and len(read_frames(plain, times)) == 60
    hostile = {"refs": "16", "bf": "0", "g": "24", "preset": "medium", "sc_threshold": "0"}
    path = write_video(tmp_path / f"many.{suffix}", range(60), size=size, options=hostile)
    frames = read_frames(path, times)
    shown = [number_of(image) for image in frames.images]
    assert "would take too much memory" in frames.note and {24, 48} <= set(shown) and len(shown) < 20
    assert shown == [round(time * 10) for time in frames.times]


def test_what_object_tracking_could_not_decode_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limited: None
) -> None:
    path = lone_keyframe(tmp_path / "lone.mp4", 60)
    generous = budget.TOTAL

    def starved(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(budget, "TOTAL", 20 * budget.PACKET)
        try:
            return read_frames(*arguments, **options)
        finally:
            monkeypatch.setattr(budget, "TOTAL", generous)

    monkeypatch.setattr(registry, "read_frames", starved)
    found = recognize(path, ["walk", "run"], tools=["track_motion", "describe_video"], mode="static")
    for name in ("track_motion", "describe_video"):
        begin = f"{name}: objects were not tracked in all frames: decoding all of the video would take too long"
        assert any(note.startswith(begin) for note in found.notes), found.notes
    assert found.status == "degraded"
