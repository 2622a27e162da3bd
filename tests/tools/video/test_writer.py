"""Written videos, read back with PyAV."""

from pathlib import Path

import av
import numpy as np
import pytest

from video_star.tools.errors import BadInput
from video_star.tools.video.writer import write_video

RAMP = np.stack([np.full((48, 64, 3), 20 * i, np.uint8) for i in range(12)])


def read(path: Path) -> tuple[av.VideoStream, list[np.ndarray]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream, [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def test_mp4_reads_back_frame_by_frame(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "ramp.mp4", RAMP, fps=8)
    stream, frames = read(tmp_path / "ramp.mp4")
    assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    assert float(stream.average_rate or 0) == 8
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 12
    assert np.abs([frame.mean() - 20 * i for i, frame in enumerate(frames)]).max() < 6
    assert capfd.readouterr() == ("", "")


def test_odd_sizes_lose_a_row_and_a_column(tmp_path: Path) -> None:
    write_video(tmp_path / "odd.mp4", (np.full((33, 47, 3), 10 * i, np.uint8) for i in range(5)), fps=12.5)
    stream, frames = read(tmp_path / "odd.mp4")
    assert [frame.shape for frame in frames] == [(32, 46, 3)] * 5
    assert stream.codec_context.pix_fmt == "yuv420p"


def test_gif_keeps_its_size_and_frames(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "ramp.gif", RAMP[:, :33], fps=10)
    _, frames = read(tmp_path / "ramp.gif")
    assert [frame.shape for frame in frames] == [(33, 64, 3)] * 12
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name, images, fps", [("a.mp4", RAMP[:0], 8), ("a.txt", RAMP, 8), ("a.mp4", RAMP, 0), ("a.mp4", RAMP[:, :1], 8)]
)
def test_invalid_input_is_rejected(tmp_path: Path, name: str, images: np.ndarray, fps: float) -> None:
    with pytest.raises(BadInput):
        write_video(tmp_path / name, images, fps)


def test_images_of_two_sizes_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one size"):
        write_video(tmp_path / "a.mp4", [RAMP[0], RAMP[0, :20]], 8)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken.mp4").mkdir()
    with pytest.raises(OSError, match="could not write"):
        write_video(tmp_path / "taken.mp4", np.zeros((3, 16, 16, 3), np.uint8), 8)
