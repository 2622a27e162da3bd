"""From what a user types to a file: what is let in, what is refused, and that refusing touches nothing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from video_star.tools.errors import BadInput, DownloadFailed, VideoNotAllowed, VideoNotFound, VideoTooLarge
from video_star.tools.execution import disk_budget as pruning
from video_star.tools.settings import home
from video_star.tools.video.source import CLIPS, VideoAccess, _public, identify, resolve

from ...growth import growth

ANYWHERE = VideoAccess()


class Site(ThreadingHTTPServer):
    """A server on loopback that remembers what was asked of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []

    def url(self, path: str, host: str = "localhost") -> str:
        return f"http://{host}:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["host"]))
        kind, _, rest = self.path.lstrip("/").partition("/")
        with suppress(OSError):
            getattr(self, f"_{kind}")(rest)

    def _clip(self, rest: str) -> None:
        self._answer(200, b"content of " + rest.encode())

    def _missing(self, rest: str) -> None:
        self._answer(404, b"nothing here")

    def _redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("location", target.replace("@", "://"))
        self.end_headers()

    def _loop(self, rest: str) -> None:
        self._redirect(f"/loop/{rest}x")

    def _endless(self, rest: str) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"0" * 65_536)

    def _dribble(self, rest: str) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"0")
            time.sleep(0.05)

    def _dribbling_header(self, rest: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
        while True:
            self.wfile.write(b"0")
            time.sleep(0.05)

    def _cut(self, rest: str) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"half")

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def own_network(**limits: Any) -> VideoAccess:
    return VideoAccess(hosts=("localhost",), private_addresses=True, **limits)


def downloads() -> list[str]:
    return sorted(os.listdir(home() / "downloads"))


def test_path_and_file_address_name_the_same_file(tmp_path: Path) -> None:
    clip = tmp_path / "a clip.mp4"
    clip.write_bytes(b"x")
    assert resolve(str(clip), ANYWHERE) == clip
    assert resolve(f"file://{tmp_path}/a%20clip.mp4", ANYWHERE) == clip
    assert resolve(f"file://localhost{tmp_path}/a%20clip.mp4", ANYWHERE) == clip


def test_relative_path_counts_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"x")
    assert resolve("clip.mp4", ANYWHERE) == tmp_path / "clip.mp4"


@pytest.mark.parametrize(
    "name", ["", "nowhere.mp4", "a\0b", "\ud800.mp4", "x" * 5000, "file:///no%00thing", "~nobody-at-all/x"]
)
def test_name_of_nothing_is_not_found(name: str) -> None:
    with pytest.raises(VideoNotFound, match="give the path or address"):
        resolve(name, ANYWHERE)


@pytest.mark.parametrize(
    "address", ["ftp://host/a.mp4", "rtsp://host/a", "data:video/mp4;base64,AAAA", "file:clip.mp4", "file://host/a.mp4"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(VideoNotAllowed, match="give"):
        resolve(address, ANYWHERE)


def test_only_ordinary_files_are_let_in(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for odd in (tmp_path, tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
            with pytest.raises(VideoNotAllowed, match="ordinary video file"):
                resolve(str(odd), ANYWHERE)


def test_file_outside_the_roots_is_refused_whether_it_exists_or_not(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "clip.mp4").write_bytes(b"x")
    access = VideoAccess(roots=(inside,))
    assert resolve(str(inside / "clip.mp4"), access) == inside / "clip.mp4"
    said = []
    for name in (outside / "clip.mp4", outside / "none.mp4", inside / ".." / "out" / "clip.mp4", outside, "/dev/zero"):
        with pytest.raises(VideoNotAllowed, match="VIDEO_STAR_ROOTS") as caught:
            resolve(str(name), access)
        said.append(str(caught.value).replace(repr(str(name)), ""))
    assert len(set(said)) == 1


def test_link_out_of_the_roots_is_refused(tmp_path: Path) -> None:
    inside, secret = tmp_path / "in", tmp_path / "secret.mp4"
    inside.mkdir()
    secret.write_bytes(b"x")
    (inside / "link.mp4").symlink_to(secret)
    assert resolve(str(inside / "link.mp4"), ANYWHERE) == secret
    with pytest.raises(VideoNotAllowed):
        resolve(str(inside / "link.mp4"), VideoAccess(roots=(inside,)))


def test_folder_whose_name_begins_like_a_root_is_outside(tmp_path: Path) -> None:
    (tmp_path / "videos-private").mkdir()
    (tmp_path / "videos-private" / "clip.mp4").write_bytes(b"x")
    with pytest.raises(VideoNotAllowed):
        resolve(str(tmp_path / "videos-private" / "clip.mp4"), VideoAccess(roots=(tmp_path / "videos",)))


def test_bundled_clip_is_always_allowed(walking_clip: Path, tmp_path: Path) -> None:
    assert resolve(str(walking_clip), VideoAccess(roots=(tmp_path,))).samefile(walking_clip)


def test_environment_sets_the_access(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIDEO_STAR_ROOTS", f"{tmp_path}{os.pathsep}/srv/videos")
    monkeypatch.setenv("VIDEO_STAR_HOSTS", "Media.Example.org, localhost")
    monkeypatch.setenv("VIDEO_STAR_PRIVATE_ADDRESSES", "1")
    monkeypatch.setenv("VIDEO_STAR_MAX_MB", "0.5")
    monkeypatch.setenv("VIDEO_STAR_DOWNLOAD_SECONDS", "5")
    monkeypatch.setenv("VIDEO_STAR_DOWNLOADS_MB", "2")
    roots, hosts = (tmp_path, Path("/srv/videos")), ("media.example.org", "localhost")
    expected = VideoAccess(roots, hosts, True, 2**19, 5.0, 2**21)
    assert VideoAccess.from_environment() == VideoAccess.from_environment(served=True) == expected
    monkeypatch.setenv("VIDEO_STAR_MAX_MB", "much")
    with pytest.raises(BadInput, match="VIDEO_STAR_MAX_MB is 'much'"):
        VideoAccess.from_environment()


def test_server_reads_its_working_folder_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIDEO_STAR_ROOTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert VideoAccess.from_environment().roots is None
    assert VideoAccess.from_environment(served=True).roots == (tmp_path, CLIPS)


def test_identity_is_that_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a.mp4", b"same"), ("b.webm", b"same"), ("c.mp4", b"other")):
        (tmp_path / name).write_bytes(content)
    first, second, third = (identify(tmp_path / name) for name in ("a.mp4", "b.webm", "c.mp4"))
    assert first == second != third
    assert len(first) == 32 and int(first, 16) >= 0


def test_large_file_is_identified_without_reading_it_whole(tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"

    def identified(gigabytes: int) -> str:
        with large.open("wb") as file:
            file.truncate(gigabytes * 2**30)
        return identify(large)

    assert growth(identified, 10) < 1.5
    before = identify(large)
    status = large.stat()
    with large.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(large, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identify(large) != before


def test_address_is_fetched_once_an_hour(site: Site) -> None:
    path = resolve(site.url("/clip/walk.mp4#t=5"), own_network())
    assert path.read_bytes() == b"content of walk.mp4"
    assert resolve(site.url("/clip/walk.mp4"), own_network()) == path
    assert site.asked == [("/clip/walk.mp4", f"localhost:{site.server_port}")]
    os.utime(path, (0, 0))
    assert resolve(site.url("/clip/walk.mp4"), own_network()) == path
    assert len(site.asked) == 2 and downloads() == [path.name]


def test_downloads_are_bounded_and_those_used_longest_ago_go_first(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    access = replace(own_network(), kept_bytes=60)
    first, second = (resolve(site.url(f"/clip/{name}.mp4"), access) for name in ("a", "b"))
    long_ago = time.time() - 3 * pruning.GRACE
    for path in (first, second):
        os.utime(path, (long_ago, long_ago))
    assert resolve(site.url("/clip/a.mp4"), access) == first, "it is used again, and not fetched again"
    resolve(site.url("/clip/c.mp4"), access)
    resolve(site.url("/clip/d.mp4"), access)
    assert first.exists() and not second.exists() and len(site.asked) == 4


def test_a_disk_that_takes_no_download_is_told_of(site: Site, home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(DownloadFailed, match=r"cannot be kept .* free some space there, or set VIDEO_STAR_HOME"):
        resolve(site.url("/clip/a.mp4"), own_network())


def test_a_disk_that_fills_while_a_video_arrives_keeps_no_part_of_it(site: Site) -> None:
    resource = pytest.importorskip("resource", reason="needs limits on written files, which Windows lacks")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(DownloadFailed, match="cannot be kept"):
            resolve(site.url("/clip/a.mp4"), own_network())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert downloads() == []


def test_addresses_are_refused_unless_the_host_is_listed(site: Site) -> None:
    for access in (ANYWHERE, VideoAccess(hosts=("media.example.org",), private_addresses=True)):
        with pytest.raises(VideoNotAllowed, match="set VIDEO_STAR_HOSTS"):
            resolve(site.url("/clip/a"), access)
    assert site.asked == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_private_address_is_refused_however_it_is_written(site: Site, host: str) -> None:
    with pytest.raises((VideoNotAllowed, DownloadFailed)) as caught:
        resolve(site.url("/clip/a", host), VideoAccess(hosts=("*",)))
    assert site.asked == []
    if host in ("localhost", "127.0.0.1"):
        assert "VIDEO_STAR_PRIVATE_ADDRESSES=1" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("64:ff9b::5db8:d70e", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_public_addresses_are_told_from_private_ones(address: str, public: bool) -> None:
    assert _public(address) is public


def test_connection_goes_to_the_address_that_was_checked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = socket.getaddrinfo

    def rebinding(host: str, *rest: Any, **named: Any) -> Any:
        if host == "clips.example":
            asked.append(host)
            host = "127.0.0.1" if len(asked) == 1 else "192.0.2.1"
        return real(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    access = VideoAccess(hosts=("clips.example",), private_addresses=True)
    path = resolve(site.url("/clip/a", "clips.example"), access)
    assert path.read_bytes() == b"content of a"
    assert site.asked == [("/clip/a", f"clips.example:{site.server_port}")]
    assert len(asked) == 1


def test_proxies_of_the_environment_are_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert resolve(site.url("/clip/a"), own_network()).exists()


def test_redirect_is_followed_and_checked(site: Site) -> None:
    assert resolve(site.url("/redirect//clip/b"), own_network()).read_bytes() == b"content of b"
    for target in ("http@127.0.0.1:1/x", "ftp@localhost/x", "file@/etc/hostname"):
        with pytest.raises(VideoNotAllowed):
            resolve(site.url(f"/redirect/{target}"), own_network())
    with pytest.raises(DownloadFailed, match="more than 3 redirects"):
        resolve(site.url("/loop/"), own_network())
    assert len(downloads()) == 1


def test_failed_downloads_are_told_apart_and_leave_nothing(site: Site) -> None:
    with pytest.raises(DownloadFailed, match="404"):
        resolve(site.url("/missing/a"), own_network())
    with pytest.raises(DownloadFailed, match="check the address"):
        resolve(site.url("/cut/a"), own_network())
    with pytest.raises(DownloadFailed, match="check the address"):
        resolve("http://localhost:1/a", own_network())
    with pytest.raises(VideoTooLarge, match="larger than 1 MB"):
        resolve(site.url("/endless/a"), own_network(max_bytes=2**20))
    assert downloads() == []


@pytest.mark.parametrize("kind", ["dribble", "dribbling_header"])
def test_slow_download_is_given_up(site: Site, kind: str) -> None:
    with pytest.raises(VideoTooLarge, match="within 1 s"):
        resolve(site.url(f"/{kind}/a"), own_network(seconds=1.0))
    assert downloads() == []


@pytest.mark.parametrize("address", ["http://", "http://[::1", "https://user:word@localhost/a", "http://\ud800/a"])
def test_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput):
        resolve(address, VideoAccess(hosts=("*",)))
