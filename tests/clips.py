"""Short clips cut from others, for tests that need several."""

from pathlib import Path

from moviepy.config import FFMPEG_BINARY
from moviepy.tools import subprocess_call


def cut_clip(source: Path, out: Path, start: float, end: float) -> None:
    """Write the part of a video from `start` to `end` seconds, exact to a frame, as mp4."""
    span = ["-ss", f"{start:.3f}", "-i", str(source.resolve()), "-t", f"{end - start:.3f}"]
    options = ["-map", "0:v:0", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    subprocess_call([FFMPEG_BINARY, "-y", "-loglevel", "error", *span, *options, str(out.resolve())], None)
