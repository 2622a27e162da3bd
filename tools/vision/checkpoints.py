"""Weights that do not ship with the package: which there are, where they lie, and the one way they are fetched.

Nothing here is fetched unless asked for: an engine looks for a file with `locate`, which never downloads, and `pull` is
what the command `video-star models pull` does.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final
from zipfile import is_zipfile

import httpx

from ..errors import BadInput, BadWeights, DownloadFailed
from ..execution.media_store import write_atomically
from ..settings import home, settings

RELEASE: Final = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Where ultralytics publishes its weights. VIDEO_STAR_WEIGHTS_URL names a mirror."""
SHA256: Final[dict[str, str]] = {
    "yolo11n": "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",
    "yolo11s": "85a76fe86dd8afe384648546b56a7a78580c7cb7b404fc595f97969322d502d5",
    "yolo11m": "d5ffc1a674953a08e11a8d21e022781b1b23a19b730afc309290bd9fb5305b95",
    "yolo11l": "9ebd0e09d59811db4b1d61e2bc6730649608b1ac47f8dd01e2da6bca7c20023f",
    "yolo11x": "7bc158aa95c0ebfdd87f70f01653c1131b93e92522dbe15c228bcd742e773a24",
    "yolo11n-pose": "869e83fcdffdc7371fa4e34cd8e51c838cc729571d1635e5141e3075e9319dc0",
    "yolo11s-pose": "1060bda4a27012060eca246f9b2adeea22eabb045a1e58f8d229be29b7ebc2ba",
    "yolo11m-pose": "29b17eaf3a3117cbea906090dbedf9159f7c6a49db58ec8b99ed2dfde1cf6eb2",
    "yolo11x-pose": "013c43543b0751b8918486ba96e01ee44a59040683a07f96cc22bcc2cb7785f8",
}
"""Digests of the published files as at least two projects record them, independent of each other; ultralytics lists
none. What is missing here is trusted on first use: `pull` records what came, and holds later files to it."""
NAMES: Final = tuple(f"yolo11{size}{task}" for task in ("", "-pose") for size in "nsmlx")
"""Detectors of COCO's 80 classes, and pose models of its 17 keypoints."""
LARGEST: Final = 256 * 2**20
"""Bytes. The largest file published, yolo11x-pose, has 118 MB."""

_REDIRECTS: Final = 5
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def file_of(name: str) -> Path:
    """Where the weights of that name lie, or would lie.

    Raises:
        BadWeights: There are none of that name.
    """
    if name not in NAMES:
        raise BadWeights(f"there are no weights {name[:80]!r}; there are {', '.join(NAMES)}")
    return home() / "models" / f"{name}.pt"


def expected(name: str) -> str | None:
    """The SHA-256 the file of that name must have; None where none is known and none was fetched before."""
    if name in SHA256:
        return SHA256[name]
    try:
        return _record(file_of(name)).read_text().split()[0]
    except (OSError, IndexError):
        return None


def locate(name: str) -> Path:
    """The file of that name, its content checked; never downloads.

    Raises:
        BadWeights: There are none of that name, they are not here, or not what was published.
    """
    path = file_of(name)
    if not path.is_file():
        raise BadWeights(f"the weights {name} are not on this machine; fetch them: video-star models pull {name}")
    if digest(path) != expected(name):
        raise BadWeights(
            f"{path} is not the {name} that was published or fetched; fetch it again: video-star models pull {name}, "
            "or, if it is your own, keep it elsewhere and name it by its path"
        )
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, or of all files in a folder; read again only when they change."""
    parts = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    each = [_digest(part, part.stat().st_mtime_ns, part.stat().st_size) for part in parts]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def pull(name: str, on_progress: Callable[[int, int | None], None] = lambda done, total: None) -> Path:
    """Fetch weights from the release, or find them here; a fetch that broke off goes on where it stopped.

    Args:
        name: One of `NAMES`.
        on_progress: Told the bytes that are here and those there will be, None where the server does not say.

    Returns:
        The file, there only once it is whole and checked.

    Raises:
        BadWeights: There are none of that name.
        DownloadFailed: They could not be fetched, or what came is not what it must be.
    """
    path = file_of(name)
    if path.is_file() and digest(path) == expected(name):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with _held(part) as file:
        _fetch(httpx.URL(f"{_release()}/{path.name}"), file, on_progress)
        file.flush()
        found = hashlib.sha256(part.read_bytes()).hexdigest()
        wanted = expected(name)
        if found != (wanted or found) or not is_zipfile(part):
            part.unlink()
            raise DownloadFailed(
                f"what came for {name} is not what was published: sha256 {found}, not "
                f"{wanted or 'that of a checkpoint'}; try again, or get the file yourself and name it by its path"
            )
        write_atomically(_record(path), f"{found}  {path.name}\n".encode())
        os.replace(part, path)
        _tag(part).unlink(missing_ok=True)
    return path


def _record(path: Path) -> Path:
    return path.with_suffix(".pt.sha256")


def _tag(part: Path) -> Path:
    """Which version of the remote file a part is of."""
    return part.with_suffix(".etag")


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _release() -> str:
    """The address the weights lie under: https, or http on this machine."""
    address = settings().weights_url or RELEASE
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if not _safe(url, local=True):
        raise BadInput(f"VIDEO_STAR_WEIGHTS_URL is {address[:200]!r}; set it to an https:// address, or leave it out")
    return address.rstrip("/")


def _safe(url: httpx.URL, local: bool) -> bool:
    return bool(url.host) and (url.scheme == "https" or (local and url.scheme == "http" and url.host in _LOOPBACK))


@contextmanager
def _held(part: Path) -> Iterator[BinaryIO]:
    """The part file, open to append, of one process at a time where the system can lock."""
    with part.open("ab") as file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DownloadFailed(f"{part} is being fetched by another process; wait for that one") from None
        yield file


def _fetch(url: httpx.URL, file: BinaryIO, on_progress: Callable[[int, int | None], None]) -> None:
    """Bring `file` to the whole of what lies at `url`."""
    tag = _tag(Path(file.name))
    have = file.tell()
    headers = {"user-agent": "video-star", "accept-encoding": "identity"}
    if have and tag.is_file():
        # If-Range: the server starts anew where the file has changed since, so that halves of two never meet.
        headers |= {"range": f"bytes={have}-", "if-range": tag.read_text()}
    try:
        with httpx.Client(timeout=30, headers=headers) as client:
            with _answer(client, url) as response:
                if not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
                    file.truncate(0)
                    have = 0
                etag = response.headers.get("etag", "")
                if etag.startswith('"'):
                    write_atomically(tag, etag.encode())
                else:
                    tag.unlink(missing_ok=True)
                _store(response, file, have, on_progress)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DownloadFailed(
            f"no weights from {url.host} ({error or type(error).__name__}); check the network, then run the same "
            "command: it goes on where it stopped"
        ) from error


@contextmanager
def _answer(client: httpx.Client, url: httpx.URL) -> Iterator[httpx.Response]:
    """The answer of `url`, redirects followed as far as they are safe."""
    local = url.host in _LOOPBACK
    for _ in range(_REDIRECTS + 1):
        with client.stream("GET", url) as response:
            if response.is_redirect:
                url = url.join(response.headers["location"])
                if not _safe(url, local):
                    raise DownloadFailed(f"{response.url.host} leads to {url.scheme}://{url.host}; only https is safe")
                continue
            if response.status_code == 416:
                # The part is longer than the file: begin again.
                for name in ("range", "if-range"):
                    client.headers.pop(name, None)
                continue
            ranged = "range" in client.headers and response.status_code == 206
            if response.status_code != 200 and not ranged:
                raise DownloadFailed(
                    f"{url.host} answered {response.status_code} {response.reason_phrase}; "
                    "see whether the release is still there, or name a mirror in VIDEO_STAR_WEIGHTS_URL"
                )
            yield response
            return
    raise DownloadFailed(f"the address leads through more than {_REDIRECTS} redirects; try again later")


def _store(response: httpx.Response, file: BinaryIO, done: int, on_progress: Callable[[int, int | None], None]) -> None:
    """Append the body to `file`, which holds `done` bytes, as far as it may."""
    length = response.headers.get("content-length", "")
    total = done + int(length) if length.isdigit() else None
    limit = f"the file is larger than {LARGEST / 2**20:g} MB, which no weights are; look at the address"
    if max(done, total or 0) > LARGEST:
        raise DownloadFailed(limit)
    on_progress(done, total)
    for block in response.iter_raw():
        done += len(block)
        if done > LARGEST:
            file.truncate(0)
            raise DownloadFailed(limit)
        file.write(block)
        on_progress(done, total)
    if total is not None and done < total:
        raise DownloadFailed(f"{total - done} bytes are missing; run the same command: it goes on where it stopped")
