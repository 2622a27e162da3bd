"""Weights that do not ship with the package: their names, files, checksums and download.

Engines find a file with `locate`, which never downloads; only `pull`, behind `video-star models pull`, does.
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

from ..errors import BadInput, BadWeights, DownloadFailed, OutputNotAllowed
from ..execution.media_store import write_atomically
from ..settings import home, settings

RELEASE: Final = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Where ultralytics publishes its weights; VIDEO_STAR_WEIGHTS_URL sets a mirror."""
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
"""Digests of the published files, each recorded by at least two independent projects; ultralytics publishes none.
Weights not listed here are trusted on first use: `pull` records their digest and checks later files against it."""
NAMES: Final = tuple(
    f"{family}{size}{task}" for family in ("yolo11", "yolo26") for task in ("", "-pose") for size in "nsmlx"
)
"""Detectors of the 80 COCO classes, and pose models of the 17 COCO keypoints."""
MAX_BYTES: Final = 256 * 2**20
"""Bytes; the largest published file, yolo11x-pose, has 118 MB."""

_MAX_REDIRECTS: Final = 5
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def file_of(name: str) -> Path:
    """The file of the weights of that name, which may not exist yet.

    Raises:
        BadWeights: No weights have that name.
    """
    if name not in NAMES:
        raise BadWeights(f"unknown weights {name[:80]!r}; the names are {', '.join(NAMES)}")
    return home() / "models" / f"{name}.pt"


def expected_digest(name: str) -> str | None:
    """The SHA-256 that the file of that name must have; None if it is not known and was never downloaded."""
    if name in SHA256:
        return SHA256[name]
    try:
        return _digest_file(file_of(name)).read_text().split()[0]
    except (OSError, IndexError):
        return None


def locate(name: str) -> Path:
    """The file of that name, its digest checked; never downloads.

    Raises:
        BadWeights: The name is unknown, the file is missing, or its content is not that published.
    """
    path = file_of(name)
    if not path.is_file():
        raise BadWeights(f"the weights {name} are not on this machine; download them: video-star models pull {name}")
    if digest(path) != expected_digest(name):
        raise BadWeights(
            f"{path} differs from the published or downloaded {name}; download it again: video-star models pull "
            f"{name} --force, or, if it is your own, move it elsewhere and give its path"
        )
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, or of all files in a folder; computed again only when they change."""
    paths = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    digests = [_digest(each, each.stat().st_mtime_ns, each.stat().st_size) for each in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def pull(
    name: str, on_progress: Callable[[int, int | None], None] = lambda done, total: None, *, force: bool = False
) -> Path:
    """Download weights from the release unless they are present; an interrupted download is resumed.

    Args:
        name: One of `NAMES`.
        on_progress: Called with the bytes received and the total, None if the server does not give it.
        force: Whether an existing file that is not the published one may be replaced.

    Returns:
        The file; it exists only once it is complete and checked.

    Raises:
        BadWeights: The name is unknown.
        DownloadFailed: The download failed, or its digest is wrong.
        OutputNotAllowed: Another file has the name of the weights, or of what is written beside them.
    """
    path = file_of(name)
    if check_pull(name, force=force):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with _locked(part) as file:
        _fetch(httpx.URL(f"{_release()}/{path.name}"), file, on_progress)
        file.flush()
        found = hashlib.sha256(part.read_bytes()).hexdigest()
        required = expected_digest(name)
        if found != (required or found) or not is_zipfile(part):
            part.unlink()
            raise DownloadFailed(
                f"the download of {name} is not the published file: sha256 {found}, not "
                f"{required or 'that of a checkpoint'}; try again, or get the file yourself and give its path"
            )
        write_atomically(_digest_file(path), f"{found}  {path.name}\n".encode())
        os.replace(part, path)
        _etag_file(part).unlink(missing_ok=True)
    return path


def check_pull(name: str, *, force: bool) -> bool:
    """Whether the weights are present; checks that a download replaces nothing that was not downloaded.

    Raises:
        BadWeights: The name is unknown.
        OutputNotAllowed: As for `pull`.
    """
    path = file_of(name)
    if path.is_file() and digest(path) == expected_digest(name):
        return True
    if os.path.lexists(path) and not force:
        raise OutputNotAllowed(
            f"{path} exists and is not the published file; if it is your own, move it elsewhere, or replace it: --force"
        )
    part = path.with_suffix(".part")
    if part.is_symlink() or (part.exists() and part.stat().st_nlink > 1):
        raise OutputNotAllowed(f"{part} is a link to another file; remove it")
    return False


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".pt.sha256")


def _etag_file(part: Path) -> Path:
    """Holds the version of the remote file that a partial file belongs to."""
    return part.with_suffix(".etag")


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _release() -> str:
    """The base URL of the weights: https, or http on this machine."""
    address = settings().weights_url or RELEASE
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if not _is_safe(url, local=True):
        raise BadInput(f"VIDEO_STAR_WEIGHTS_URL is {address[:200]!r}; set it to an https:// URL, or unset it")
    return address.rstrip("/")


def _is_safe(url: httpx.URL, local: bool) -> bool:
    return bool(url.host) and (url.scheme == "https" or (local and url.scheme == "http" and url.host in _LOOPBACK))


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The partial file, open for appending, locked against other processes where the system supports it."""
    with part.open("ab") as file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DownloadFailed(f"{part} is being downloaded by another process; wait for it to finish") from None
        yield file


def _fetch(url: httpx.URL, file: BinaryIO, on_progress: Callable[[int, int | None], None]) -> None:
    """Complete `file` with the content of `url`."""
    tag = _etag_file(Path(file.name))
    have = file.tell()
    headers = {"user-agent": "video-star", "accept-encoding": "identity"}
    if have and tag.is_file():
        # If-Range: the server starts over if the file has changed, so that parts of two files are never joined.
        headers |= {"range": f"bytes={have}-", "if-range": tag.read_text()}
    try:
        with httpx.Client(timeout=30, headers=headers) as client:
            with _response(client, url) as response:
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
            f"cannot download weights from {url.host} ({error or type(error).__name__}); check the network, then "
            "run the same command again: it resumes the download"
        ) from error


@contextmanager
def _response(client: httpx.Client, url: httpx.URL) -> Iterator[httpx.Response]:
    """The response of `url`; only safe redirects are followed."""
    local = url.host in _LOOPBACK
    for _ in range(_MAX_REDIRECTS + 1):
        with client.stream("GET", url) as response:
            if response.is_redirect:
                url = url.join(response.headers["location"])
                if not _is_safe(url, local):
                    raise DownloadFailed(
                        f"{response.url.host} redirects to {url.scheme}://{url.host}; only https is allowed"
                    )
                continue
            if response.status_code == 416:
                # The partial file is longer than the remote one: start over.
                for name in ("range", "if-range"):
                    client.headers.pop(name, None)
                continue
            ranged = "range" in client.headers and response.status_code == 206
            if response.status_code != 200 and not ranged:
                raise DownloadFailed(
                    f"{url.host} answered {response.status_code} {response.reason_phrase}; "
                    "check that the release still exists, or set VIDEO_STAR_WEIGHTS_URL to a mirror"
                )
            yield response
            return
    raise DownloadFailed(f"the URL has more than {_MAX_REDIRECTS} redirects; try again later")


def _store(response: httpx.Response, file: BinaryIO, done: int, on_progress: Callable[[int, int | None], None]) -> None:
    """Append the body to `file`, which holds `done` bytes, up to `MAX_BYTES`."""
    length = response.headers.get("content-length", "")
    total = done + int(length) if length.isdigit() else None
    limit = f"the file is larger than {MAX_BYTES / 2**20:g} MB, the limit for weights; check the URL"
    if max(done, total or 0) > MAX_BYTES:
        raise DownloadFailed(limit)
    on_progress(done, total)
    for block in response.iter_raw():
        done += len(block)
        if done > MAX_BYTES:
            file.truncate(0)
            raise DownloadFailed(limit)
        file.write(block)
        on_progress(done, total)
    if total is not None and done < total:
        raise DownloadFailed(f"{total - done} bytes are missing; run the same command again: it resumes the download")
