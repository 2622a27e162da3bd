"""Opening a video file: the formats and sizes allowed, and the stream that is read.

Files are untrusted. Only demuxers that read a single file are allowed (a playlist could refer to other files and URLs),
and the frame size is limited before decoding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from ..errors import NoVideoStream, UnreadableVideo

MAX_SIDE: Final = 16_384
"""Pixels; videos with larger frames are rejected."""
MAX_PIXELS: Final = 2**26
"""Pixels of one coded frame: twice an 8K frame, 100 MB once decoded."""

_FORMATS: Final = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,vc1,flv,ogg,asf,gif,apng,mjpeg,webp_pipe,dv,mxf,nut,rm,"
    # audio only: allowed so that the error says so
    "mp3,wav,flac,aac"
)
_PICTURES: Final = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
"""Streams of images that accompany a video."""


@contextmanager
def open_video(path: Path, size: int = 0) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and the video stream that players choose, set up for decoding.

    Args:
        path: The file.
        size: Bytes that are read, from the beginning; 0 is the whole file.

    Raises:
        UnreadableVideo: Not a video container, no decoder, or frames larger than `MAX_SIDE`.
        NoVideoStream: Only audio or a cover image.
    """
    protocols = "file,subfile" if size else "file"
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": protocols, "max_pixels": str(MAX_PIXELS)}
    try:
        # The prefix "file:" makes names such as concat:a|b plain file names; some titles are not valid UTF-8.
        part = f"subfile,,start,0,end,{size},,:" if size else ""
        container = av.open(f"{part}file:{path.absolute()}", options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise UnreadableVideo(
            f"{path.name} cannot be read as a video ({error.strerror}); give an MP4, WebM, MKV, AVI or GIF file"
        ) from error
    with container:
        stream = max(
            (s for s in container.streams.video if not s.disposition & _PICTURES), key=_preference, default=None
        )
        if stream is None:
            raise NoVideoStream(f"{path.name} has only audio or a cover image; give a file with a video stream")
        if stream.codec_context is None:
            raise UnreadableVideo(f"no decoder is available for the codec of {path.name}; convert it to H.264")
        width, height = stream.codec_context.width, stream.codec_context.height
        if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            raise UnreadableVideo(f"the frames of {path.name} are {width}x{height}; give at most 8192x8192")
        for other in container.streams:
            other.discard = Discard.default if other is stream else Discard.all
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        # Frame threading holds one frame per thread in memory: use slice threading for large ones.
        stream.thread_type = "AUTO" if width * height <= 4096 * 2304 else "SLICE"
        stream.thread_count = min(4, os.cpu_count() or 1)
        if container.format.name.startswith("matroska"):
            _load_index(container)
        yield container, stream


def _preference(stream: VideoStream) -> tuple[bool, bool, int]:
    """Streams that can be decoded first, then those marked as default, then by size; the first of equals."""
    context = stream.codec_context
    if context is None:
        return False, False, 0
    return True, bool(stream.disposition & Disposition.default), context.width * context.height


def _load_index(container: InputContainer) -> None:
    """Load the index of a Matroska file, which happens on the first seek only, and stay at its first keyframe."""
    for backward in (True, False):
        try:
            container.seek(0, backward=backward)
            return
        except av.FFmpegError:
            continue  # a failed seek also skips packets: pictures that begin later are sought forward
