"""Written videos, read back with PyAV."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from video_star.tools.errors import BadInput
from video_star.tools.video.reader import probe
from video_star.tools.video.writer import Shown, write_video

RAMP = np.stack([np.full((48, 64, 3), 20 * i, np.uint8) for i in range(12)])
UNEVEN = [0.04, 0.0417, 0.5, 0.033, 2.0, 0.1, 0.1, 1 / 3, 0.04, 0.04, 0.04, 1.0]
"""Seconds for which the images of a video with a variable rate are shown."""


def even(images: Iterable[np.ndarray], fps: float) -> Iterator[Shown]:
    return ((1 / fps, image) for image in images)


def read(path: Path) -> tuple[av.VideoStream, list[np.ndarray], list[float]]:
    """The stream, its images, and their times in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [float(frame.pts * frame.time_base) for frame in frames if frame.pts is not None and frame.time_base]
        return stream, [frame.to_ndarray(format="rgb24") for frame in frames], times


def test_mp4_reads_back_frame_by_frame(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "ramp.mp4", even(RAMP, 8))
    stream, frames, _ = read(tmp_path / "ramp.mp4")
    assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    assert float(stream.average_rate or 0) == 8
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 12
    assert np.abs([frame.mean() - 20 * i for i, frame in enumerate(frames)]).max() < 6
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fps", [1, 12.5, 24000 / 1001, 30000 / 1001, 50, 240])
def test_mp4_keeps_any_constant_rate_to_the_end(tmp_path: Path, fps: float) -> None:
    write_video(tmp_path / "even.mp4", even((RAMP[k % 12, :16, :16] for k in range(600)), fps))
    _, frames, times = read(tmp_path / "even.mp4")
    assert len(frames) == 600 and times == pytest.approx(np.arange(600) / fps, abs=1e-5)
    assert probe(tmp_path / "even.mp4").duration == pytest.approx(600 / fps, abs=1e-3)


def test_variable_times_are_kept(tmp_path: Path) -> None:
    starts = np.cumsum([0, *UNEVEN])
    for name, precision in (("uneven.mp4", 1e-5), ("uneven.gif", 0.0051)):
        write_video(tmp_path / name, zip(UNEVEN, RAMP, strict=True))
        _, frames, times = read(tmp_path / name)
        assert times == pytest.approx(starts[:-1], abs=precision)
        assert np.abs([frame.mean() - 20 * i for i, frame in enumerate(frames)]).max() < 6
        assert probe(tmp_path / name).duration == pytest.approx(starts[-1], abs=max(precision, 1e-3))


def test_a_gif_leaves_out_images_that_browsers_would_slow_down(tmp_path: Path) -> None:
    write_video(tmp_path / "fast.gif", even((RAMP[k % 12] for k in range(240)), 240))
    with Image.open(tmp_path / "fast.gif") as gif:
        shown = []
        for k in range(getattr(gif, "n_frames", 1)):
            gif.seek(k)
            shown.append(gif.info["duration"])
    assert min(shown) >= 20 and sum(shown) == pytest.approx(1000, abs=20)


def test_odd_sizes_lose_a_row_and_a_column(tmp_path: Path) -> None:
    write_video(tmp_path / "odd.mp4", even((np.full((33, 47, 3), 10 * i, np.uint8) for i in range(5)), 12.5))
    stream, frames, _ = read(tmp_path / "odd.mp4")
    assert [frame.shape for frame in frames] == [(32, 46, 3)] * 5
    assert stream.codec_context.pix_fmt == "yuv420p"


def test_gif_keeps_its_size_and_colours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    colours = np.array([[250, 30, 20], [20, 200, 40], [40, 60, 220]], np.uint8)
    write_video(tmp_path / "flat.gif", even(colours[:, None, None].repeat(33, 1).repeat(47, 2), 10))
    _, frames, _ = read(tmp_path / "flat.gif")
    assert [frame.shape for frame in frames] == [(33, 47, 3)] * 3
    assert np.abs([frame.mean((0, 1)) for frame in frames] - colours.astype(float)).max() < 6
    assert capfd.readouterr() == ("", "")


def test_a_gif_stores_what_does_not_change_once(tmp_path: Path) -> None:
    scene = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    moving = np.stack([scene] * 40)
    for k, image in enumerate(moving):
        image[10:20, k : k + 10] = (255, 0, 0)
    sizes = []
    for count in (1, 40):
        write_video(tmp_path / "still.gif", even(moving[:count], 10))
        sizes.append((tmp_path / "still.gif").stat().st_size)
    assert sizes[1] < 4 * sizes[0]


@pytest.mark.parametrize(
    "name, images, fps", [("a.mp4", RAMP[:0], 8), ("a.txt", RAMP, 8), ("a.mp4", RAMP, -1), ("a.mp4", RAMP[:, :1], 8)]
)
def test_invalid_input_is_rejected(tmp_path: Path, name: str, images: np.ndarray, fps: float) -> None:
    with pytest.raises(BadInput):
        write_video(tmp_path / name, even(images, fps))
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_images_of_two_sizes_are_rejected_and_leave_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="one size"):
        write_video(tmp_path / name, even([RAMP[0], RAMP[0, :20]], 8))
    assert not list(tmp_path.glob("*.*"))


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken.mp4").mkdir()
    with pytest.raises(OSError, match="could not write"):
        write_video(tmp_path / "taken.mp4", even(np.zeros((3, 16, 16, 3), np.uint8), 8))
