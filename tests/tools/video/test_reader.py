"""The video reader: the right frames from every kind of file, and a typed error for those that cannot be read."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from video_star.tools.errors import BadInput, EmptyVideo, NoVideoStream, UnreadableVideo
from video_star.tools.video.clip import open_clip
from video_star.tools.video.decoder import Decoder
from video_star.tools.video.reader import Frames, VideoInfo, play_frames, probe, read_frames

from .hostile import HostileFiles, ffmpeg, number_of, painted, write_video


def numbers(frames: Frames) -> list[int]:
    return [number_of(image) for image in frames.images]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times of all frames that the reader decodes, needed or not."""
    times = []
    real = Decoder._decoded

    def counted(self: Decoder, after_seek: bool, target: float) -> Iterator[tuple[float, float, VideoFrame]]:
        for start, end, frame in real(self, after_seek, target):
            times.append(start)
            yield start, end, frame

    monkeypatch.setattr(Decoder, "_decoded", counted)
    return times


def test_the_frame_at_a_time_is_the_last_that_has_started(hostile: HostileFiles) -> None:
    frames = read_frames(hostile.plain, [0.0, 0.0999, 0.1, 0.3, 2.4999, 2.5, 7.77, 9.95])
    assert numbers(frames) == [0, 1, 3, 24, 25, 77, 99]
    assert frames.times == pytest.approx([0.0, 0.1, 0.3, 2.4, 2.5, 7.7, 9.9])
    assert frames.images.shape == (7, 240, 320, 3) and frames.scale == 1 and frames.note == ""


def test_times_in_any_order_and_beyond_the_ends_give_distinct_frames_in_order(hostile: HostileFiles) -> None:
    assert numbers(read_frames(hostile.plain, np.array([5.0, -3.0, 9.9, 5.04, 11.0, 0.0]))) == [0, 50, 99]


def test_invalid_times_are_rejected(hostile: HostileFiles) -> None:
    for times in ([], [float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="finite"):
            read_frames(hostile.plain, times)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", {"g": "30", "bf": "3", "sc_threshold": "0"}),
        ("open.mp4", "libx264", {"x264-params": "keyint=30:scenecut=0:open-gop=1:bframes=3:b-adapt=0"}),
        ("fragments.mp4", "libx264", {"g": "30", "bf": "3"}),
        ("cues.mkv", "libx264", {"g": "30", "bf": "3"}),
        ("packets.ts", "libx264", {"g": "30", "bf": "3"}),
        ("program.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
        ("index.avi", "mpeg4", {"g": "12"}),
        ("reordered.avi", "mpeg4", {"g": "12", "bf": "2"}),
        ("closed.avi", "libx264", {"g": "30", "bf": "3", "sc_threshold": "0"}),
        ("open.avi", "libx264", {"x264-params": "keyint=30:scenecut=0:open-gop=1:bframes=3:b-adapt=0"}),
        ("pyramid.avi", "libx264", {"x264-params": "keyint=250:bframes=8:b-pyramid=normal:b-adapt=0"}),
        ("flash.flv", "libx264", {"g": "30", "bf": "3"}),
        ("windows.wmv", "wmv2", {"g": "30"}),
        ("browser.webm", "libvpx", {"g": "60", "deadline": "realtime", "cpu-used": "8"}),
        ("bare.m2v", "mpeg2video", {"bf": "2"}),
        ("pictures.mjpeg", "mjpeg", {}),
    ],
)
def test_every_container_gives_the_frames_of_a_full_decode(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = write_video(
        tmp_path / name,
        range(500),
        size=(160, 96),
        rate=25,
        codec=codec,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        container={".m2v": "mpeg2video", ".mjpeg": "mjpeg"}.get(Path(name).suffix),
        options=options,
        container_options={"movflags": "frag_keyframe+empty_moov"} if name == "fragments.mp4" else None,
    )
    times = np.random.default_rng(4).uniform(0, 20, 12)
    for wanted in (times, times[:1], np.array([19.9]), np.array([12.0, 12.04, 12.08])):
        frames = read_frames(path, wanted)
        expected = sorted({int(time * 25 + 1e-4) for time in wanted})
        assert numbers(frames) == expected
        assert frames.times == pytest.approx(np.array(expected) / 25, abs=1e-3)


def test_variable_frame_rate_is_read_by_time(hostile: HostileFiles) -> None:
    frames = read_frames(hostile.vfr, [0.55, 1.5, 4.2, 8.99, 9.0])
    assert numbers(frames) == [5, 10, 13, 17, 18]
    assert frames.times == pytest.approx([0.5, 1.0, 4.0, 8.0, 9.0])


def test_three_hours_are_read_without_decoding_them(hostile: HostileFiles, decoded: list[float]) -> None:
    path = hostile.three_hours
    info = probe(path)
    assert (info.duration, info.fps) == (10_800, 1)
    assert len(decoded) <= 5
    assert numbers(read_frames(path, [260, 5255, 10_799])) == [260, 5255, 10_799]
    assert len(decoded) < 100


def test_close_times_are_decoded_in_one_pass(hostile: HostileFiles, decoded: list[float]) -> None:
    read_frames(hostile.plain, np.arange(0, 2.5, 0.25))
    assert decoded == sorted(decoded) and decoded[-1] <= 2.5


def test_distant_times_are_reached_by_seeking(hostile: HostileFiles, decoded: list[float]) -> None:
    assert numbers(read_frames(hostile.plain, [0.1, 7.6])) == [1, 76]
    assert not [start for start in decoded if 0.4 < start < 7.5]


def test_frames_without_times_are_counted(hostile: HostileFiles) -> None:
    info = probe(hostile.raw_h264)
    assert (info.fps, info.duration) == (10, 4)
    frames = read_frames(hostile.raw_h264, [0.0, 1.25, 3.9])
    assert numbers(frames) == [0, 12, 39] and frames.times == pytest.approx([0, 1.2, 3.9])


def test_an_undeclared_duration_is_measured(hostile: HostileFiles) -> None:
    assert probe(hostile.live_webm).duration == pytest.approx(4.0, abs=0.11)
    assert numbers(read_frames(hostile.live_webm, [0.1, 3.9])) == [1, 39]


def test_times_count_from_the_first_frame(hostile: HostileFiles) -> None:
    assert probe(hostile.transport_stream).duration == pytest.approx(10, abs=0.11)
    frames = read_frames(hostile.transport_stream, [0.0, 5.5])
    assert numbers(frames) == [0, 55] and frames.times == pytest.approx([0, 5.5])


def test_a_single_frame_has_the_duration_of_a_frame(hostile: HostileFiles) -> None:
    assert probe(hostile.one_frame).duration == pytest.approx(0.1)
    assert numbers(read_frames(hostile.one_frame, [0.0, 0.05])) == [0]


def test_rotation_is_applied(hostile: HostileFiles) -> None:
    info = probe(hostile.rotated)
    assert (info.width, info.height, info.rotation) == (240, 320, 90)
    frames = read_frames(hostile.rotated, [0.5], max_side=160)
    assert frames.images.shape == (1, 160, 120, 3) and frames.scale == 0.5
    expected = np.rot90(painted(5, 320, 240))[::2, ::2].astype(int)
    assert np.abs(frames.images[0].astype(int) - expected)[:, :50].mean() < 20


@pytest.mark.parametrize("matrix", range(8))
def test_display_matrices_turn_and_mirror(tmp_path: Path, matrix: int) -> None:
    transposed, left_right, upside_down = matrix & 4, matrix & 2, matrix & 1
    one = [-65536 if flipped else 65536 for flipped in (left_right, upside_down)]
    # x' = ax + cy, y' = bx + dy; stored by rows as a b u, c d v, x y w.
    a, b, c, d = (0, one[1], one[0], 0) if transposed else (one[0], 0, 0, one[1])
    path = write_video(
        tmp_path / "turned.mp4",
        [0],
        prepare=lambda stream: stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30]),
    )
    expected = painted(0, 320, 240).astype(int)
    expected = expected.swapaxes(0, 1) if transposed else expected
    expected = expected[:, ::-1] if left_right else expected
    expected = expected[::-1] if upside_down else expected
    image = read_frames(path, [0]).images[0].astype(int)
    assert image.shape == expected.shape and np.abs(image - expected).mean() < 20
    assert (probe(path).width, probe(path).height) == (expected.shape[1], expected.shape[0])


def test_pixels_become_square(hostile: HostileFiles) -> None:
    info = probe(hostile.anamorphic)
    assert (info.width, info.height) == (320, 240)
    frames = read_frames(hostile.anamorphic, [0.9])
    assert frames.images.shape == (1, 240, 320, 3) and numbers(frames) == [9]


@pytest.mark.parametrize("kind", ["gif", "av1", "ten_bit"])
def test_other_codecs_are_read(hostile: HostileFiles, kind: str) -> None:
    path = getattr(hostile, kind)
    assert probe(path) == VideoInfo(320, 240, 10.0, 1.0, 0, {"ten_bit": "hevc"}.get(kind, kind))
    assert numbers(read_frames(path, [0.0, 0.45, 0.95])) == [0, 4, 9]


@pytest.mark.slow
def test_8k_is_scaled_down(hostile: HostileFiles) -> None:
    assert (probe(hostile.eight_k).width, probe(hostile.eight_k).height) == (7680, 4320)
    frames = read_frames(hostile.eight_k, [0.0, 0.4, 0.9], max_side=768)
    assert frames.images.shape == (3, 432, 768, 3) and frames.scale == 0.1
    assert numbers(frames) == [0, 1, 2]


def test_small_frames_are_not_enlarged(hostile: HostileFiles) -> None:
    assert read_frames(hostile.one_frame, [0], max_side=768).images.shape == (1, 240, 320, 3)


def test_a_truncated_file_gives_its_frames_and_a_note(hostile: HostileFiles) -> None:
    assert probe(hostile.truncated).duration == 10
    times = (np.arange(12) + 0.5) * 10 / 12
    frames = read_frames(hostile.truncated, times)
    last = frames.times[-1]
    kept = (times < last + 0.1).sum()
    assert 5 < last < 6 and numbers(frames) == [round(start * 10) for start in frames.times]
    assert (
        frames.note
        == f"nothing can be read after {last + 0.1:.1f} s; {12 - kept} of the 12 frames asked for are missing"
    )


def test_damage_in_the_middle_loses_only_the_frames_there(hostile: HostileFiles) -> None:
    frames = read_frames(hostile.damaged, np.arange(0.05, 10, 0.5))
    assert numbers(frames)[:6] == [0, 5, 10, 15, 20, 25] and numbers(frames)[-3:] == [85, 90, 95]
    assert numbers(frames) == [round(start * 10) for start in frames.times]
    assert frames.note.startswith("the file is damaged")


@pytest.mark.parametrize(
    ("kind", "error", "remedy"),
    [
        ("empty", UnreadableVideo, "give an MP4"),
        ("text", UnreadableVideo, "give an MP4"),
        ("garbage", UnreadableVideo, "give an MP4"),
        ("audio_only", NoVideoStream, "give a file with a video stream"),
        ("cover_art", NoVideoStream, "give a file with a video stream"),
        ("zero_frames", EmptyVideo, "give a file that plays"),
    ],
)
def test_files_that_are_not_videos_are_rejected_with_the_reason(
    hostile: HostileFiles, kind: str, error: type[BadInput], remedy: str
) -> None:
    path = getattr(hostile, kind)
    for read in (probe, lambda path: read_frames(path, [0.0])):
        with pytest.raises(error, match=remedy) as caught:
            read(path)
        assert path.name in str(caught.value)


def test_oversized_frames_are_rejected_before_decoding(tmp_path: Path) -> None:
    wide = write_video(tmp_path / "wide.avi", [0], size=(16_400, 16), codec="mjpeg", pix_fmt="yuvj420p")
    with pytest.raises(UnreadableVideo, match="16400x16"):
        probe(wide)


def test_playlists_open_neither_files_nor_connections(hostile: HostileFiles) -> None:
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(connection)
                connection.close()

        listener = Thread(target=listen, daemon=True)
        listener.start()
        for target in (str(hostile.plain), hostile.plain.name, f"http://127.0.0.1:{port}/clip.ts"):
            for write in (hostile.playlist, hostile.concat_script):
                with pytest.raises(UnreadableVideo):
                    probe(write(target))
        server.shutdown(socket.SHUT_RDWR)
    listener.join()
    assert connections == []


def test_a_file_name_that_looks_like_an_ffmpeg_url_is_a_file_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = write_video(tmp_path / "plain.mp4", range(3)).rename(tmp_path / "concat:a|b%03d.mp4")
    assert probe(odd).duration == pytest.approx(0.3)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(odd.name)).duration == pytest.approx(0.3)


def test_peak_memory_of_48_frames_stays_below_200_mb(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc for the peak memory of a process")
    path = write_video(tmp_path / "hd.mp4", range(96), size=(1280, 720), options={"preset": "ultrafast"})
    code = (
        "import re, sys, numpy as np; from pathlib import Path; from video_star.tools.video.reader import read_frames;"
        "assert read_frames(Path(sys.argv[1]), np.arange(48) / 5, max_side=768).images.shape == (48, 432, 768, 3);"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert int(done.stdout) / 1024 < 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("sound.mp4", 0, ["-c:v", "copy", "-c:a", "aac"]),
        ("sound.mkv", 0, ["-c:v", "copy", "-c:a", "libopus"]),
        ("sound.avi", 0, ["-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"]),
        ("sound.flv", 0, ["-c:v", "copy", "-c:a", "aac"]),
        ("sound.wmv", 0, ["-c:v", "wmv2", "-c:a", "wmav2"]),
        ("sound.ts", 0, ["-c:v", "copy", "-c:a", "aac"]),
        ("late.mkv", 8, ["-c:v", "copy", "-c:a", "libopus"]),
        ("late.mp4", 8, ["-c:v", "copy", "-c:a", "aac"]),
        ("far.webm", 1000, ["-an", "-c:v", "libvpx", "-deadline", "realtime"]),
        ("far.mkv", 1000, ["-an", "-c:v", "copy"]),
        ("early.mkv", -0.5, ["-an", "-c:v", "copy", "-copyts"]),
        ("far.ts", 1000, ["-an", "-c:v", "copy"]),
    ],
)
def test_the_span_is_that_of_the_pictures(
    hostile: HostileFiles, tmp_path: Path, name: str, before: float, after: list[str]
) -> None:
    path = tmp_path / name
    ffmpeg(
        "-itsoffset", before, "-i", hostile.plain, "-f", "lavfi", "-i", "sine=d=40", "-map", 0, "-map", 1, *after, path
    )
    info = probe(path)
    assert info.duration == pytest.approx(10, abs=0.21) and info.note == ""
    asked = np.random.default_rng(7).uniform(0, 9.9, 30)
    frames = read_frames(path, asked)
    assert frames.note == ""
    for time in asked:
        shown = int(np.searchsorted(frames.times, time + 1e-6, side="right")) - 1
        assert abs(frames.times[shown] + 0.05 - time) <= 0.06, (time, frames.times[shown])
    assert [round(time * 10) for time in frames.times] == numbers(frames)


@pytest.mark.slow
def test_of_several_streams_the_default_or_the_largest_is_read(hostile: HostileFiles, tmp_path: Path) -> None:
    small = ["-f", "lavfi", "-i", "color=black:s=64x36:r=25:d=0.04"]
    h264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]
    for name, marks in {
        "default.mp4": ["-disposition:v:0", "0", "-disposition:v:1", "default"],
        "default.mkv": ["-disposition:v:0", "0", "-disposition:v:1", "default"],
        "largest.mp4": ["-disposition:v:0", "default", "-disposition:v:1", "default"],
        "largest.ts": [],
    }.items():
        ffmpeg(*small, "-i", hostile.plain, "-map", "0:v", "-map", "1:v", *h264, *marks, tmp_path / name)
        info = probe(tmp_path / name)
        assert (info.width, info.height) == (320, 240) and info.duration == pytest.approx(10, abs=0.2), name
        assert numbers(read_frames(tmp_path / name, [0.05, 5.05])) == [0, 50], name


def test_titles_that_are_not_text_are_ignored(tmp_path: Path) -> None:
    def titled(stream: VideoStream) -> None:
        stream.container.metadata["title"] = "TITLE-HERE"

    path = write_video(tmp_path / "titled.mp4", range(3), time_base=Fraction(1, 10), prepare=titled)
    content = path.read_bytes()
    assert b"TITLE-HERE" in content
    path.write_bytes(content.replace(b"TITLE-HERE", b"\xff\xfe\xfd-HERE..."[:10]))
    assert probe(path).duration == pytest.approx(0.3)


def test_frames_are_validated() -> None:
    images, times = np.zeros((2, 4, 4, 3), np.uint8), np.array([0.0, 0.1])
    assert len(Frames(images, times, 1.0)) == 2
    wrong = [(images.astype(float), times, 1.0), (images[0], times, 1.0), (images, times[:1], 1.0)]
    for fields in [*wrong, (images, times[::-1], 1.0), (images, times, 0.0), (images[:0], times[:0], 1.0)]:
        with pytest.raises(ValueError):
            Frames(*fields)


def test_the_bundled_clip_is_read(walking_clip: Path) -> None:
    clip = open_clip(str(walking_clip), 1.0, 5.0)
    frames = clip.frames()
    assert (clip.info.width, clip.info.height, clip.info.fps) == (768, 576, 10)
    assert frames.images.shape == (32, 576, 768, 3) and frames.note == ""
    assert 0.9 < frames.times[0] < 1.2 and 4.7 < frames.times[-1] < 5


def test_real_clips_are_read(shared: Path) -> None:
    for path in sorted((shared / "clips").iterdir()):
        info = probe(path)
        frames = read_frames(path, (np.arange(8) + 0.5) * info.duration / 8, max_side=320)
        assert len(frames) == 8 and frames.note == "" and frames.images.std() > 10, path.name


def test_playing_gives_every_frame_for_as_long_as_it_is_shown(hostile: HostileFiles) -> None:
    every = [k / 10 for k in range(100)]
    for path, starts, end in (
        (hostile.plain, every, 10.0),
        (hostile.transport_stream, every, 10.0),
        (hostile.vfr, [*every[:10], *range(1, 10)], 9.1),
        (hostile.raw_h264, every[:40], 4.0),
        (hostile.gif, every[:10], 1.0),
        (hostile.one_frame, [0.0], 0.1),
    ):
        played = list(play_frames(path, 0.0, end))
        assert [number_of(image) for _, _, image in played] == list(range(len(starts)))
        assert [begin for begin, _, _ in played] == pytest.approx(starts, abs=1e-3)
        assert [until for _, until, _ in played] == pytest.approx([*starts[1:], end], abs=1e-3)


def test_playing_a_span_begins_with_the_frame_shown_then_and_seeks_to_it(
    hostile: HostileFiles, decoded: list[float]
) -> None:
    played = list(play_frames(hostile.plain, 7.75, 8.0, max_side=160))
    assert [number_of(image) for _, _, image in played] == [77, 78, 79]
    assert [begin for begin, _, _ in played] == pytest.approx([7.7, 7.8, 7.9]) and played[-1][1] == 8.0
    assert {image.shape for _, _, image in played} == {(120, 160, 3)}
    assert not [start for start in decoded if 0.4 < start < 7.4]
    (held,) = play_frames(hostile.vfr, 4.25, 4.5)
    assert (number_of(held[2]), held[0], held[1]) == (13, 4.0, 4.5)


def test_playing_is_upright_and_ends_where_nothing_can_be_read(hostile: HostileFiles) -> None:
    assert {image.shape for *_, image in play_frames(hostile.rotated, 0, 1)} == {(320, 240, 3)}
    played = list(play_frames(hostile.truncated, 0, 10))
    assert 40 < len(played) < 70 and played[-1][1] < played[-1][0] + 0.3
    with pytest.raises(EmptyVideo):
        list(play_frames(hostile.zero_frames, 0, 1))
