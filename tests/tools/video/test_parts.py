"""Files that are more than one video, less than one, or have holes: what is read is right, the rest is noted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from video_star.tools.video import extent
from video_star.tools.video.clip import Clip, open_clip
from video_star.tools.video.reader import Frames

from .hostile import HostileFiles, ffmpeg, number_of


def numbers(frames: Frames) -> list[int]:
    return [number_of(image) for image in frames.images]


def joined(folder: Path, source: Path, name: str, *options: object, count: int = 3) -> Path:
    """`count` copies of a video, written with these options, end to end."""
    alone, path = folder / f"alone.{name}", folder / f"joined.{name}"
    ffmpeg("-i", source, "-map", "0:v", *options, alone)
    path.write_bytes(alone.read_bytes() * count)
    return path


def check_first_of(clip: Clip, count: int) -> None:
    """Only the first of `count` equal videos of 10 s is read, and the note says how much that leaves."""
    assert clip.info.duration == pytest.approx(10, abs=0.21)
    assert f"{1 - 1 / count:.0%} of the file" in clip.info.note and " after 10.0 s" in clip.info.note
    frames = clip.frames()
    assert [round(time * 10) for time in frames.times] == numbers(frames) and len(frames) == 48 and not frames.note


@pytest.mark.slow
@pytest.mark.parametrize("offsets", [(0, 0), (0, 5000, 0), (1000, 0), (0, 60)])
def test_of_joined_transport_streams_the_first_is_read_and_the_rest_is_noted(
    hostile: HostileFiles, tmp_path: Path, offsets: tuple[int, ...]
) -> None:
    parts = []
    for number, offset in enumerate(offsets):
        part = tmp_path / f"{number}.ts"
        ffmpeg("-i", hostile.plain, "-c", "copy", "-output_ts_offset", offset, part)
        parts.append(part.read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    clip = open_clip(str(path))
    rest = 10 * (len(offsets) - 1)
    assert clip.info.note == f"the clock of the file leaps after 10.0 s; the {rest:.1f} s after that are not looked at"
    frames = clip.frames()
    assert [round(time * 10) for time in frames.times] == numbers(frames) and len(frames) == 48 and not frames.note


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mp4", ["-c", "copy"]),
        ("front.mp4", ["-c", "copy", "-movflags", "faststart"]),
        ("fragments.mp4", ["-c", "copy", "-movflags", "frag_keyframe+empty_moov"]),
        ("mov", ["-c", "copy"]),
        ("mkv", ["-c", "copy"]),
        ("live.webm", ["-c:v", "libvpx", "-b:v", "2M", "-deadline", "realtime", "-live", "1"]),
        ("avi", ["-c:v", "mpeg4", "-bf", "2", "-b:v", "2M"]),
        ("flv", ["-c:v", "flv", "-b:v", "2M"]),
        ("wmv", ["-c:v", "wmv2", "-b:v", "2M"]),
        ("gif", []),
        ("ogv", ["-c:v", "libtheora", "-q:v", "9"]),
    ],
)
def test_of_joined_files_the_first_is_read_and_the_rest_is_noted(
    hostile: HostileFiles, tmp_path: Path, name: str, options: list[object]
) -> None:
    for count in (2, 3):
        path = joined(tmp_path, hostile.plain, name, *options, count=count)
        check_first_of(open_clip(str(path)), count)
    alone = open_clip(str(tmp_path / f"alone.{name}"))
    assert alone.info.note == "" and numbers(alone.frames()) == numbers(open_clip(str(path)).frames())


@pytest.mark.slow
def test_chained_ogg_with_sound_is_read_to_the_end_of_the_first(hostile: HostileFiles, tmp_path: Path) -> None:
    alone, path = tmp_path / "alone.ogv", tmp_path / "chained.ogv"
    tone = ["-f", "lavfi", "-i", "sine=d=10", "-map", 0, "-map", 1, "-c:a", "libvorbis"]
    ffmpeg("-i", hostile.plain, *tone, "-c:v", "libtheora", "-q:v", 9, alone)
    path.write_bytes(alone.read_bytes() * 2)
    check_first_of(open_clip(str(path)), 2)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video")])
def test_long_streams_are_measured_at_some_places(
    hostile: HostileFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: str
) -> None:
    monkeypatch.setattr(extent, "_MAX_PACKETS", 30)
    monkeypatch.setattr(extent, "_TAIL", 2**14)
    rate = ["-r", 25] if suffix == "mpg" else []
    path = joined(tmp_path, hostile.plain, suffix, "-c:v", codec, "-g", 10, "-b:v", "2M", *rate)
    alone = open_clip(str(tmp_path / f"alone.{suffix}"))
    assert alone.info.note == "" and alone.info.duration == pytest.approx(10, abs=0.3)
    clip = open_clip(str(path))
    assert clip.info.note.startswith("the clock leaps after ") and "% of the file, is not looked at" in clip.info.note
    # The last place before the leap: at most 1/64 of the file before it, and a group of pictures.
    assert 8 < clip.info.duration < 10.3
    frames = clip.frames()
    assert np.abs(np.array(numbers(frames)) / 10 - frames.times).max() < 0.1 and not frames.note


def test_what_is_too_long_to_be_measured_is_noted(hostile: HostileFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extent, "_MAX_PACKETS", 20)
    for path in (hostile.live_webm, hostile.raw_h264):
        info = open_clip(str(path)).info
        assert info.duration == pytest.approx(2, abs=0.11)
        assert info.note.startswith("the file does not declare how long it is; the rest, ")


@pytest.fixture(scope="module")
def dash(hostile: HostileFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[bytes]]:
    """The initialisation segment and four media segments, of 2.5 s each."""
    folder = tmp_path_factory.mktemp("dash")
    ffmpeg("-i", hostile.plain, "-c", "copy", "-f", "dash", "-seg_duration", 2.5, folder / "all.mpd")
    names = [folder / f"chunk-stream0-0000{number}.m4s" for number in (1, 2, 3, 4)]
    return (folder / "init-stream0.m4s").read_bytes(), [name.read_bytes() for name in names]


@pytest.mark.slow
def test_a_segment_of_a_stream_is_read_from_its_own_start(dash: tuple[bytes, list[bytes]], tmp_path: Path) -> None:
    head, segments = dash
    for count in (1, 2, 3):
        path = tmp_path / f"{count}.mp4"
        path.write_bytes(head + b"".join(segments[1 : 1 + count]))
        clip = open_clip(str(path))
        assert clip.info.duration == pytest.approx(2.5 * count, abs=0.11) and clip.info.note == ""
        frames = clip.frames()
        assert numbers(frames) == [round(time * 10) + 25 for time in frames.times] and frames.note == ""


@pytest.mark.slow
@pytest.mark.parametrize("kept", [4, 40, 200, 0.3, 0.6, 0.95])
def test_a_segment_that_breaks_off_is_read_as_far_as_it_goes(
    dash: tuple[bytes, list[bytes]], tmp_path: Path, kept: float
) -> None:
    head, segments = dash
    path = tmp_path / "cut.mp4"
    path.write_bytes(head + segments[0] + segments[1][: int(kept if kept >= 1 else kept * len(segments[1]))])
    clip = open_clip(str(path))
    frames = clip.frames()
    assert numbers(frames) == [round(time * 10) for time in frames.times] and frames.times[-1] >= 2.2
    whole_part = clip.info.duration < 2.6
    assert frames.note.startswith("nothing can be read after ") or whole_part
    assert "breaks off" in clip.info.note or kept in (4, 0.3, 0.6, 0.95)


@pytest.mark.slow
def test_segments_that_are_missing_are_noted(
    dash: tuple[bytes, list[bytes]], hostile: HostileFiles, tmp_path: Path
) -> None:
    head, segments = dash
    (tmp_path / "hole.mp4").write_bytes(head + segments[0] + segments[2] + segments[3])
    parts = []
    for begin in (0, 5):
        part = tmp_path / f"{begin}.ts"
        ffmpeg("-ss", begin, "-i", hostile.plain, "-t", 2.5, "-c", "copy", "-output_ts_offset", begin, part)
        parts.append(part.read_bytes())
    (tmp_path / "hole.ts").write_bytes(b"".join(parts))
    frames = open_clip(str(tmp_path / "hole.mp4")).frames()
    assert frames.note == "the file has no pictures from 2.5 to 5.0 s"
    assert numbers(frames) == [round(time * 10) for time in frames.times]
    # Where the second stream is cut, frames that others refer to come before its start.
    note = open_clip(str(tmp_path / "hole.ts")).frames().note
    assert re.search(r"the file has no pictures from 2\.[4-8] to (4\.[89]|5\.0) s", note), note


def test_slides_have_no_holes(hostile: HostileFiles) -> None:
    for path in (hostile.vfr, hostile.three_hours):
        assert open_clip(str(path)).frames().note == ""
