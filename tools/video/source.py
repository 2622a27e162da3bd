"""Resolving a video argument to a local file that may be read: paths, `file://` and `http(s)://` URLs."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import stat
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from threading import Timer
from typing import Final
from urllib.parse import unquote

import httpx

from ..errors import BadInput, DownloadFailed, VideoNotAllowed, VideoNotFound, VideoTooLarge
from ..execution.cancellation import check_cancelled
from ..execution.disk_budget import enforce, touch
from ..settings import home, settings

CLIPS: Final = Path(str(files("video_star.tools") / "clips"))
"""The folder of the bundled clips, which may always be read."""
DEMO_CLIP: Final = CLIPS / "people_walking.mp4"
"""Five people walking: 768x576, 10 frames/s, 7 s."""

_MAX_REDIRECTS: Final = 3
_MAX_AGE: Final = 3600.0
"""Seconds for which a downloaded file is reused for its URL."""
_MAX_HASHED: Final = 64 * 2**20
"""Bytes up to which the whole file is hashed."""
_BLOCK: Final = 64 * 2**10
_BLOCKS: Final = 64

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""Outside it are only special addresses, such as ::127.0.0.1, ::ffff:0:127.0.0.1, 64:ff9b:1::/48 and fec0::/10, several
of which `ipaddress` takes for global ones."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP: Final = 0x5EFE
"""Third quarter of an IPv6 address that embeds an IPv4 address (RFC 5214), but for one bit."""
_NOT_PUBLIC: Final = (
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4 (RFC 7526)
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's platform, reached from inside only
    ipaddress.ip_network("3fff::/20"),  # documentation (RFC 9637)
)
"""Special addresses that `ipaddress` takes for public ones."""


@dataclass(frozen=True)
class VideoAccess:
    """Which videos this process may read."""

    roots: tuple[Path, ...] | None = None
    """Folders whose files may be read; None is any file the user can read. The bundled clips are always allowed."""
    hosts: tuple[str, ...] = ()
    """Hosts that videos may be downloaded from, in lower case; ("*",) is any public host, () is none."""
    private_addresses: bool = False
    """Whether hosts may be on this machine or in private networks, which untrusted URLs must not reach."""
    max_bytes: int = 512 * 2**20
    """Size limit of a download."""
    seconds: float = 60.0
    """Time limit of a download, redirects included."""
    disk_bytes: int = 4096 * 2**20
    """Size limit of all downloads on disk; the least recently used are deleted."""

    @classmethod
    def from_environment(cls, *, served: bool = False) -> VideoAccess:
        """The access that the environment grants (see `Settings`).

        Args:
            served: Videos are named by others than the user of this machine. Unless VIDEO_STAR_ROOTS is set, they may
                name only files of the working folder and the bundled clips.

        Raises:
            BadInput: A variable has an invalid value.
        """
        given = settings()
        return cls(
            roots=(Path.cwd(), CLIPS) if served and given.roots is None else given.roots,
            hosts=tuple(host.lower() for host in given.hosts),
            private_addresses=given.private_addresses,
            max_bytes=int(given.max_mb * 2**20),
            seconds=given.download_seconds,
            disk_bytes=int(given.downloads_mb * 2**20),
        )


def resolve(video: str, access: VideoAccess) -> Path:
    """The local file named by a path or URL, with links resolved; downloaded if it is remote.

    Raises:
        VideoNotFound: The file does not exist.
        VideoNotAllowed: It is not a regular file, lies outside the roots, or its URL is not allowed.
        VideoTooLarge: The download is too large or too slow.
        DownloadFailed: The download failed.
    """
    scheme, separator, rest = video.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        return _download(video, access)
    if separator and scheme.lower() == "file":
        host, _, path = rest.partition("/")
        if host not in ("", "localhost"):
            raise VideoNotAllowed(f"{_short(video)} is a file on another machine; give file:///... or a path")
        return _local("/" + unquote(path), access)
    if separator or video.startswith(("data:", "file:")):
        raise VideoNotAllowed(f"{_short(video)} has an unknown scheme; give a path, or a file, http or https URL")
    return _local(video, access)


def identify(path: Path) -> str:
    """The opaque name of a video: 32 hexadecimal digits of the SHA-256 of its content.

    For files above 64 MiB the digest covers the size, the modification time and 64 evenly spaced blocks of 64 KiB, as
    hashing hours of video would take longer than analysing it. The modification time is included because an edit
    between the blocks changes nothing else; a copy of such a file may therefore get another name.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size <= _MAX_HASHED:
            while block := file.read(2**20):
                check_cancelled()
                digest.update(block)
        else:
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
            for number in range(_BLOCKS):
                check_cancelled()
                file.seek((status.st_size - _BLOCK) * number // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:32]


def _local(name: str, access: VideoAccess) -> Path:
    if not name:
        raise VideoNotFound("no video given; give its path or URL")
    try:
        path = Path(os.path.realpath(os.path.expanduser(name)))
        if access.roots is not None and not _inside(path, (*access.roots, CLIPS)):
            # Checked before the file is accessed, so as not to reveal which files exist elsewhere.
            raise VideoNotAllowed(
                f"{_short(name)} lies outside the folders that may be read here; "
                "move it there, or set VIDEO_STAR_ROOTS to the folders of your videos"
            )
        # stat rather than open: opening a pipe blocks, and opening a device may have effects.
        mode = path.stat().st_mode
    except PermissionError as error:
        raise VideoNotAllowed(f"{_short(name)} is not readable by this user; change its permissions") from error
    except VideoNotAllowed:
        raise
    except (OSError, ValueError) as error:
        raise VideoNotFound(f"{_short(name)} does not exist; give the path or URL of a video") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise VideoNotAllowed(f"{_short(name)} is {kind}; give a regular video file")
    if not os.access(path, os.R_OK):
        raise VideoNotAllowed(f"{_short(name)} is not readable by this user; change its permissions")
    return path


def _inside(path: Path, roots: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(os.path.realpath(root)) for root in roots)


def _download(video: str, access: VideoAccess) -> Path:
    """The downloaded file of a URL; downloaded again if it is older than `_MAX_AGE`."""
    url = _checked_url(video, access)
    folder = home() / "downloads"
    path = folder / hashlib.sha256(str(url).encode()).hexdigest()
    if touch(path) and time.time() - path.stat().st_mtime < _MAX_AGE:
        return path
    partial = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=folder, suffix=".part")
        os.close(handle)
        _fetch(url, Path(partial), access)
        os.replace(partial, path)
    except OSError as error:
        raise DownloadFailed(
            f"the video cannot be saved in {folder} ({error.strerror}); free some space there, or set VIDEO_STAR_HOME"
        ) from error
    finally:
        if partial:
            with suppress(OSError):
                Path(partial).unlink(missing_ok=True)
    with suppress(OSError):
        enforce(path, access.disk_bytes)
    return path


def _fetch(url: httpx.URL, target: Path, access: VideoAccess) -> None:
    """Download `url` to `target`, following a few redirects, each checked like the first URL."""
    # Errors name the host that was given: what a server answers, redirects included, is not repeated to the caller.
    name = first = url.host
    deadline = time.monotonic() + access.seconds
    timeout = httpx.Timeout(min(10.0, access.seconds))
    with httpx.Client(trust_env=False, timeout=timeout, headers={"user-agent": "video-star"}) as client:
        # The time limits of httpx apply to each read; closing the connection also stops a server that sends slowly.
        alarm = Timer(access.seconds, client.close)
        alarm.daemon = True
        alarm.start()
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                with closing(client.send(_pinned_request(client, url, name, access), stream=True)) as response:
                    if response.is_redirect:
                        url = _redirected(url, response, name, access)
                        name = f"the address to which {first} redirects"
                        continue
                    _store(response, target, name, access)
                    return
        except BadInput:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, ValueError) as error:
            if time.monotonic() >= deadline or isinstance(error, httpx.TimeoutException):
                raise VideoTooLarge(
                    f"the video did not arrive from {first} within {access.seconds:g} s; "
                    "give a smaller one, download it yourself, or raise VIDEO_STAR_DOWNLOAD_SECONDS"
                ) from error
            reason = "no connection" if isinstance(error, httpx.ConnectError) else "it broke off or is not HTTP"
            raise DownloadFailed(f"cannot download from {name} ({reason}); check the URL and the network") from error
        finally:
            alarm.cancel()
    raise DownloadFailed(f"the URL has more than {_MAX_REDIRECTS} redirects; give the final one")


def _redirected(url: httpx.URL, response: httpx.Response, name: str, access: VideoAccess) -> httpx.URL:
    """The URL to which a response redirects, checked like the first one."""
    if "location" not in response.headers:
        raise DownloadFailed(f"{name} answered {response.status_code} without a new address; check the URL")
    try:
        return _checked_url(str(url.join(response.headers["location"])), access)
    except (VideoNotAllowed, httpx.InvalidURL, UnicodeError):
        raise VideoNotAllowed(
            f"{name} redirects to an address that may not be read here; give the final URL, "
            "or set VIDEO_STAR_HOSTS to the allowed hosts (* for any public one)"
        ) from None


def _store(response: httpx.Response, target: Path, name: str, access: VideoAccess) -> None:
    """Write the body of a response to `target`, up to the size limit."""
    if response.status_code != 200:
        raise DownloadFailed(f"{name} answered {response.status_code}; check the URL")
    size = int(response.headers.get("content-length", 0))
    if size <= access.max_bytes:
        size = 0
        with target.open("wb") as file:
            # Not decompressed: a few bytes can decompress to any number.
            for block in response.iter_raw(2**16):
                check_cancelled()
                size += len(block)
                if size > access.max_bytes:
                    break
                file.write(block)
    if size > access.max_bytes:
        limit = f"{access.max_bytes / 2**20:g} MB"
        raise VideoTooLarge(f"the video is larger than {limit}; give a shorter one, or raise VIDEO_STAR_MAX_MB")


def _checked_url(text: str, access: VideoAccess) -> httpx.URL:
    """The parsed URL, its scheme and host allowed."""
    try:
        url = httpx.URL(text)
        host = url.host.lower()  # decoded only here: an invalid name raises a UnicodeError
    except (httpx.InvalidURL, UnicodeError) as error:
        raise VideoNotAllowed(f"{_short(text)} is not a URL; give one such as https://host/clip.mp4") from error
    if url.scheme not in ("http", "https") or not host or url.userinfo:
        raise VideoNotAllowed(f"{_short(text)} cannot be downloaded; give http(s)://host/path without a password")
    if "*" not in access.hosts and host not in access.hosts:
        raise VideoNotAllowed(
            f"downloads from {host} are not allowed; give a local file, "
            "or set VIDEO_STAR_HOSTS to the allowed hosts (* for any public one)"
        )
    return url.copy_with(fragment=None)


def _pinned_request(client: httpx.Client, url: httpx.URL, name: str, access: VideoAccess) -> httpx.Request:
    """A request to the IP address that was checked, as the host name may resolve to another one a moment later."""
    return client.build_request(
        "GET",
        url.copy_with(host=_checked_ip(url, name, access)),
        headers={"host": url.netloc.decode("ascii"), "accept-encoding": "identity"},
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )


def _checked_ip(url: httpx.URL, name: str, access: VideoAccess) -> str:
    """One IP address of the host; all must be public unless private ones are allowed."""
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    try:
        found = socket.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, OverflowError) as error:
        raise DownloadFailed(f"cannot resolve the host {name}; check the URL and the network") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not access.private_addresses and not all(_public(address) for address in addresses):
        raise VideoNotAllowed(
            f"{name} is on this machine or in a private network; "
            "give a public address, or set VIDEO_STAR_PRIVATE_ADDRESSES=1 if it is yours"
        )
    return addresses[0]


def _public(address: str) -> bool:
    """Whether an IP address is on the public internet, as well as the IPv4 address that it may embed."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if any(ip in network for network in _NOT_PUBLIC):
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64 or (int(ip) >> 32) & 0xFDFFFFFF == _ISATAP:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None and not _public(str(inner)):
            return False
        if ip.ipv4_mapped or ip in _NAT64:
            return True
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:197] + "...")
