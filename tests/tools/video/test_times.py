"""Every frame asked for is the one that ffmpeg shows then: any container, codec, rate, start and rotation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from video_star.tools.video.reader import probe, read_frames

from .hostile import ffmpeg, number_of, write_video


@dataclass(frozen=True)
class Form:
    """A kind of file."""

    suffix: str
    codec: str
    options: tuple[str, ...] = ()
    rates: tuple[str, ...] = ("10", "24000/1001", "25", "30000/1001", "30", "60")
    varies: bool = False
    """Whether intervals between frames may vary."""
    starts: tuple[float, ...] = (0.0,)
    """Seconds by which the pictures may begin late, or early."""
    rotates: bool = False
    sound: str = "aac"


FORMS = [
    Form("mp4", "libx264", ("-bf", "3"), varies=True, starts=(0, 3, -0.4), rotates=True),
    Form("mp4", "libx265", ("-x265-params", "log-level=none:bframes=4"), rotates=True),
    Form("mov", "mpeg4", ("-bf", "2"), starts=(0, 3), rotates=True),
    Form("mkv", "libx264", ("-x264-params", "open-gop=1:bframes=3:b-adapt=0"), varies=True, starts=(0, 3, -0.4)),
    Form("mkv", "mpeg2video", ("-bf", "2"), starts=(0, 3)),
    Form("webm", "libvpx", ("-deadline", "realtime"), varies=True, starts=(0, 3), sound="libopus"),
    Form("webm", "libvpx-vp9", ("-deadline", "realtime", "-cpu-used", "8"), varies=True, sound="libopus"),
    Form("avi", "libx264", ("-bf", "3"), sound="mp3"),
    Form("avi", "libx264", ("-x264-params", "bframes=8:b-pyramid=normal:b-adapt=0"), sound="mp3"),
    Form("avi", "mpeg4", ("-bf", "2"), sound="mp3"),
    Form("avi", "mpeg4", ("-bf", "1"), sound="mp3"),
    Form("avi", "mjpeg", ("-strict", "unofficial"), sound="mp3"),
    Form("ts", "libx264", ("-bf", "2"), varies=True, starts=(0, 3, 900)),
    Form("ts", "mpeg2video", ("-bf", "2"), rates=("24000/1001", "25", "30")),
    Form("mpg", "mpeg2video", ("-bf", "2"), rates=("24000/1001", "25", "30"), sound="mp2"),
    Form("ogv", "libtheora", ("-q:v", "9"), sound="libvorbis"),
    Form("flv", "flv", starts=(0, 3), rates=("10", "25", "50")),
    Form("gif", "gif", rates=("10", "20", "25"), sound=""),
    Form("wmv", "wmv2", rates=("10", "25"), sound="wmav2"),
]
SEEDS = 3 * len(FORMS)
ROUNDING = 0.002
"""Seconds: most containers count milliseconds."""


@dataclass(frozen=True)
class Film:
    """A file, what ffmpeg shows of it, and when."""

    path: Path
    shown: np.ndarray
    """(frames, height, width, 3) uint8, as ffmpeg decodes them one after another."""
    times: np.ndarray
    """(frames,) seconds from the first frame on at which each is shown."""
    turns: int
    """Quarter turns counterclockwise for display."""


def make_film(form: Form, folder: Path, chance: np.random.Generator) -> Film:
    """A file of a form, with the rest drawn by chance."""
    rate, count = Fraction(chance.choice(form.rates)), int(chance.integers(30, 240))
    source, path = folder / "source.mkv", folder / f"film.{form.suffix}"
    base, steps = 1 / rate, np.ones(count, int)
    if form.varies and chance.integers(2):
        # In ticks of 20 ms, with pauses of up to a second.
        base, steps = Fraction(1, 50), chance.choice([1, 2, 3, 5, 50], count, p=[0.3, 0.3, 0.2, 0.15, 0.05])
    ticks = np.concatenate([[0], np.cumsum(steps[1:])])
    write_video(
        source,
        ticks.tolist(),
        size=(160, 96),
        rate=rate,  # type: ignore[arg-type]
        time_base=base,
        codec="ffv1",
        pix_fmt="bgr0",
        options={"g": "1"},
    )
    sound = form.sound and chance.integers(2)
    tone = ["-f", "lavfi", "-i", f"sine=r=44100:d={chance.integers(1, 30)}", "-map", 0, "-map", 1] if sound else []
    pixels = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(form.codec, "yuv420p")
    picture = ["-c:v", form.codec, "-pix_fmt", pixels, "-b:v", "3M", "-g", int(chance.integers(1, 120)), *form.options]
    even = base != Fraction(1, 50)
    spaced = ["-r", rate] if even else []
    offset = float(chance.choice(form.starts))
    exact = ["-fps_mode", "passthrough", *([] if even else ["-enc_time_base", "1:1000"])]
    audio = ["-c:a", form.sound] if sound else []
    early = ["-copyts"] if offset < 0 else []
    ffmpeg("-itsoffset", offset, *spaced, "-i", source, *tone, *early, *picture, *exact, *audio, path)
    turns = int(chance.integers(4)) if form.rotates else 0
    if turns:
        flat = path.rename(folder / f"flat.{form.suffix}")
        ffmpeg("-display_rotation", 90 * turns, "-i", flat, "-map", 0, "-c", "copy", *early, path)
    ffmpeg("-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", folder / "raw")
    size = (160, 96) if turns % 2 else (96, 160)
    shown = np.fromfile(folder / "raw", np.uint8).reshape(-1, *size, 3)
    # An edit list may hide the first frames.
    first = number_of(np.rot90(shown[0], -turns))
    assert first + len(shown) == count
    times = ticks[first : first + len(shown)] * float(base)
    if form.suffix == "avi":
        # ffmpeg stores an empty chunk where a frame is due for longer than others.
        with av.open(str(path)) as container:
            chunks = container.demux(container.streams.video[0])
            times = np.array([float((chunk.dts or 0) * chunk.time_base) for chunk in chunks if chunk.size])
    return Film(path, shown, times - times[0], turns)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_frame_asked_for_is_the_one_that_ffmpeg_shows_then(tmp_path: Path, seed: int) -> None:
    chance = np.random.default_rng(seed)
    film = make_film(FORMS[seed % len(FORMS)], tmp_path, chance)
    last, step = film.times[-1], float(np.diff(film.times).min())
    assert probe(film.path).duration >= last
    for asked in (chance.uniform(0, last, 24), chance.uniform(0, last, 2), film.times[[0, -1]], film.times + step / 2):
        frames = read_frames(film.path, asked)
        assert frames.note == ""
        indices = np.abs(film.times[None] - frames.times[:, None]).argmin(axis=1)
        # Each frame has the time at which ffmpeg shows it, and is the picture that ffmpeg shows then.
        assert np.abs(film.times[indices] - frames.times).max() < ROUNDING
        for index, image in zip(indices, frames.images, strict=True):
            flat, expected = (np.rot90(one, -film.turns) for one in (image, film.shown[index]))
            assert number_of(flat) == number_of(expected) and np.abs(flat - expected.astype(float)).mean() < 12
        # For each time it is the last frame that has begun, up to the rounding of the container's clock.
        low, high = (np.searchsorted(film.times, asked + by, side="right") - 1 for by in (-ROUNDING, ROUNDING))
        given = indices[np.searchsorted(frames.times, asked + ROUNDING, side="right") - 1]
        assert ((np.maximum(low, 0) <= given) & (given <= high)).all()
    assert len(frames) == len(film.times)
