"""Unusual and broken video files, written on first use. Every frame encodes its number, so tests can identify it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe  # type: ignore[import-untyped]

BITS = 14
"""Bars across the upper half of each painted frame: the frame's number in binary, white for 1, highest bit first."""


def painted(number: int, width: int, height: int) -> np.ndarray:
    """A frame that encodes its number: bars in the upper half, a moving ramp in the lower one; (h, w, 3) uint8."""
    columns = np.arange(width)
    bars = (number >> (BITS - 1 - columns * BITS // width) & 1) * 255
    slope = (columns * 3 + number * 7) % 256
    rows = np.where(np.arange(height)[:, None] < height // 2, bars, slope)
    return np.repeat(rows[:, :, None], 3, axis=2).astype(np.uint8)


def number_of(image: np.ndarray) -> int:
    """The number that `painted` encoded in a frame, also after scaling and lossy compression."""
    height, width = image.shape[:2]
    bars = image[height // 8 : height * 3 // 8].mean(axis=(0, 2))
    middles = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return int("".join("1" if bars[middle] > 127 else "0" for middle in middles), 2)


def ffmpeg(*words: object) -> None:
    """Run the ffmpeg that moviepy brings."""
    subprocess.run([get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, words)], check=True)


def write_video(
    path: Path,
    ticks: Sequence[int],
    *,
    size: tuple[int, int] = (320, 240),
    rate: int = 10,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    container: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    prepare: Callable[[av.VideoStream], None] | None = None,
) -> Path:
    """Write one painted frame for each of `ticks` (presentation times in units of `time_base`, by default 1/rate)."""
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base or Fraction(1, rate)
        if prepare:
            prepare(stream)
        output.start_encoding()
        converter, durations = av.video.reformatter.VideoReformatter(), [*np.diff(ticks).tolist(), 1]
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(painted(number, *size), format="rgb24")
            frame = converter.reformat(frame, format=pix_fmt, threads=1)
            frame.pts, frame.time_base = tick, stream.codec_context.time_base
            frame.duration = durations[number]
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


class HostileFiles:
    """A folder of such files: one attribute per kind, written on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _bytes(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name

    @cached_property
    def plain(self) -> Path:
        """10 s at 10 frames/s, 320x240, H.264 with B-frames, keyframes at 0, 2.5, 5 and 7.5 s."""
        options = {"g": "25", "sc_threshold": "0", "bf": "3"}
        return write_video(self.folder / "plain.mp4", range(100), options=options)

    @cached_property
    def empty(self) -> Path:
        """An empty file."""
        return self._bytes("empty.mp4", b"")

    @cached_property
    def text(self) -> Path:
        """A text file named .mp4."""
        return self._bytes("text.mp4", b"This is no video.\n" * 200)

    @cached_property
    def garbage(self) -> Path:
        """Random bytes named .mp4."""
        return self._bytes("garbage.mp4", np.random.default_rng(0).bytes(50_000))

    @cached_property
    def audio_only(self) -> Path:
        """1 s of tone in an MP4 container."""
        path = self.folder / "audio_only.mp4"
        with av.open(str(path), "w") as output:
            _write_tone(output, seconds=1)
        return path

    @cached_property
    def cover_art(self) -> Path:
        """1 s of tone with a cover image: the image is a video stream of the container, but not a video."""
        path, picture = self.folder / "cover_art.mp3", self.folder / "cover.png"
        with av.open(str(picture), "w", format="image2", options={"update": "1"}) as output:
            still = output.add_stream("png", rate=1)
            assert isinstance(still, av.VideoStream)
            still.width, still.height, still.pix_fmt = 64, 64, "rgb24"
            output.mux(still.encode(av.VideoFrame.from_ndarray(painted(1, 64, 64), format="rgb24")))
            output.mux(still.encode(None))
        with av.open(str(picture)) as source, av.open(str(path), "w") as output:
            cover = output.add_stream_from_template(source.streams.video[0])
            cover.disposition = av.stream.Disposition.attached_pic
            _write_tone(output, seconds=1, codec="libmp3lame")
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = cover
                    output.mux(packet)
        return path

    @cached_property
    def zero_frames(self) -> Path:
        """An AVI whose video stream has no frames."""
        return write_video(self.folder / "zero_frames.avi", [], codec="mpeg4")

    @cached_property
    def truncated(self) -> Path:
        """The first 60 % of a 10 s MP4 whose header comes first and declares all 100 frames; keyframes every second."""
        options = {"g": "10", "sc_threshold": "0", "x264-params": "rc-lookahead=0", "tune": "zerolatency"}
        whole = write_video(
            self.folder / "whole.mp4", range(100), options=options, container_options={"movflags": "faststart"}
        )
        content = whole.read_bytes()
        return self._bytes("truncated.mp4", content[: len(content) * 6 // 10])

    @cached_property
    def damaged(self) -> Path:
        """10 s of MPEG-TS, keyframes every second, with 20 kB in the middle overwritten by noise."""
        content = bytearray(self.transport_stream.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 20_000] = np.random.default_rng(1).bytes(20_000)
        return self._bytes("damaged.ts", bytes(content))

    @cached_property
    def transport_stream(self) -> Path:
        """10 s of MPEG-TS, 10 frames/s, keyframes every second: starts at 1.4 s, has no index."""
        return write_video(self.folder / "transport_stream.ts", range(100), options={"g": "10", "sc_threshold": "0"})

    @cached_property
    def rotated(self) -> Path:
        """1 s, 320x240 as coded, displayed with a rotation of 90 degrees: 240x320."""
        return write_video(
            self.folder / "rotated.mp4", range(10), prepare=lambda stream: stream.set_display_rotation(90)
        )

    @cached_property
    def anamorphic(self) -> Path:
        """1 s, 160x240 as coded, pixels twice as wide as high: 320x240 as displayed."""

        def wide_pixels(stream: av.VideoStream) -> None:
            stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

        return write_video(self.folder / "anamorphic.mp4", range(10), size=(160, 240), prepare=wide_pixels)

    @cached_property
    def gif(self) -> Path:
        """An animated GIF of 10 frames over 1 s."""
        return write_video(self.folder / "moving.gif", range(10), codec="gif", pix_fmt="rgb8")

    @cached_property
    def av1(self) -> Path:
        """1 s of AV1; skips if PyAV was built without the encoder."""
        try:
            av.Codec("libsvtav1", "w")
        except av.codec.codec.UnknownCodecError:
            pytest.skip("needs a PyAV built with libsvtav1")
        return write_video(self.folder / "av1.mp4", range(10), codec="libsvtav1", options={"preset": "12"})

    @cached_property
    def ten_bit(self) -> Path:
        """1 s of H.265 with 10 bits per sample."""
        return write_video(
            self.folder / "ten_bit.mp4",
            range(10),
            codec="libx265",
            pix_fmt="yuv420p10le",
            options={"preset": "ultrafast", "x265-params": "log-level=none"},
        )

    @cached_property
    def raw_h264(self) -> Path:
        """4 s of H.264 at 10 frames/s without a container: no duration, no times, no index."""
        return write_video(self.folder / "raw.h264", range(40), container="h264", options={"bf": "0"})

    @cached_property
    def live_webm(self) -> Path:
        """4 s of WebM as recorded by a browser: no duration, no index."""
        return write_video(
            self.folder / "live.webm",
            range(40),
            codec="libvpx",
            time_base=Fraction(1, 10),
            options={"deadline": "realtime", "cpu-used": "8", "g": "20"},
            container_options={"live": "1"},
        )

    @cached_property
    def one_frame(self) -> Path:
        """A video of one frame."""
        return write_video(self.folder / "one_frame.mp4", [0])

    @cached_property
    def eight_k(self) -> Path:
        """1 s of 3 frames, 7680x4320."""
        return write_video(
            self.folder / "eight_k.mp4", range(3), size=(7680, 4320), rate=3, options={"preset": "ultrafast"}
        )

    @cached_property
    def three_hours(self) -> Path:
        """3 h at 1 frame/s, 64x48, a keyframe every 250 s."""
        return write_video(
            self.folder / "three_hours.mp4",
            range(10_800),
            size=(64, 48),
            rate=1,
            options={"preset": "ultrafast", "g": "250", "sc_threshold": "0"},
        )

    @cached_property
    def vfr(self) -> Path:
        """Frames at 0, 0.1, ... 0.9 s, then one each second up to 9 s: 19 frames, B-frames, keyframes every 5."""
        ticks = [*range(0, 1000, 100), *range(1000, 10_000, 1000)]
        return write_video(
            self.folder / "vfr.mp4",
            ticks,
            time_base=Fraction(1, 1000),
            options={"g": "5", "sc_threshold": "0", "bf": "2"},
        )

    def playlist(self, target: str) -> Path:
        """An HLS playlist whose one segment is `target` (a path or a URL)."""
        text = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10.0,\n{target}\n#EXT-X-ENDLIST\n"
        return self._bytes("playlist.m3u8", text.encode())

    def concat_script(self, target: str) -> Path:
        """An ffconcat script named .mp4 that plays `target`."""
        return self._bytes("concat.mp4", f"ffconcat version 1.0\nfile '{target}'\n".encode())


def _write_tone(output: av.container.OutputContainer, seconds: float, codec: str = "aac") -> None:
    stream = output.add_stream(codec, rate=44_100, layout="mono")
    assert isinstance(stream, av.AudioStream)
    samples = int(44_100 * seconds)
    for start in range(0, samples, 1024):
        wave = np.sin(np.arange(start, start + 1024) * 2 * np.pi * 440 / 44_100).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44_100, start
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
