"""Resolving video arguments: what is allowed, what is rejected, and that a rejection accesses nothing."""

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

import httpx
import pytest

from video_star.tools.errors import BadInput, DownloadFailed, VideoNotAllowed, VideoNotFound, VideoTooLarge
from video_star.tools.execution import disk_budget
from video_star.tools.settings import home
from video_star.tools.video import source
from video_star.tools.video.source import CLIPS, VideoAccess, _public, identify, resolve

from ...growth import growth

ANYWHERE = VideoAccess()


class Site(ThreadingHTTPServer):
    """A loopback server that records its requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str]] = []

    def url(self, path: str, host: str = "localhost") -> str:
        return f"http://{host}:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["host"]))
        kind, _, rest = self.path.lstrip("/").partition("/")
        with suppress(OSError):
            getattr(self, f"_{kind}")(rest)

    def _clip(self, rest: str) -> None:
        self._respond(200, b"content of " + rest.encode())

    def _missing(self, rest: str) -> None:
        self._respond(404, b"nothing here")

    def _redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("location", target.replace("@", "://"))
        self.end_headers()

    def _bare(self, status: str) -> None:
        self._respond(int(status), b"")

    def _rude(self, rest: str) -> None:
        self.wfile.write(rest.replace("_", " ").replace("|", "\r\n").encode() + b"\r\n\r\n")

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

    def _respond(self, status: int, content: bytes) -> None:
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


def local_access(**limits: Any) -> VideoAccess:
    return VideoAccess(hosts=("localhost",), private_addresses=True, **limits)


def downloads() -> list[str]:
    return sorted(os.listdir(home() / "downloads"))


def test_path_and_file_url_name_the_same_file(tmp_path: Path) -> None:
    clip = tmp_path / "a clip.mp4"
    clip.write_bytes(b"x")
    assert resolve(str(clip), ANYWHERE) == clip
    assert resolve(f"file://{tmp_path}/a%20clip.mp4", ANYWHERE) == clip
    assert resolve(f"file://localhost{tmp_path}/a%20clip.mp4", ANYWHERE) == clip


def test_a_relative_path_starts_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"x")
    assert resolve("clip.mp4", ANYWHERE) == tmp_path / "clip.mp4"


def test_missing_files_are_not_found() -> None:
    for name in ("", "nowhere.mp4", "a\0b", "\ud800.mp4", "x" * 5000, "file:///no%00thing", "~nobody-at-all/x"):
        with pytest.raises(VideoNotFound, match=r"give (its|the) path or URL"):
            resolve(name, ANYWHERE)


def test_other_schemes_and_hosts_are_rejected() -> None:
    for url in ("ftp://host/a.mp4", "rtsp://host/a", "data:video/mp4;base64,AA", "file:clip.mp4", "file://host/a.mp4"):
        with pytest.raises(VideoNotAllowed, match="give"):
            resolve(url, ANYWHERE)


def test_only_regular_files_are_allowed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for odd in (tmp_path, tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
            with pytest.raises(VideoNotAllowed, match="regular video file"):
                resolve(str(odd), ANYWHERE)


def test_a_file_outside_the_roots_is_rejected_whether_it_exists_or_not(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "clip.mp4").write_bytes(b"x")
    access = VideoAccess(roots=(inside,))
    assert resolve(str(inside / "clip.mp4"), access) == inside / "clip.mp4"
    messages = []
    for name in (outside / "clip.mp4", outside / "none.mp4", inside / ".." / "out" / "clip.mp4", outside, "/dev/zero"):
        with pytest.raises(VideoNotAllowed, match="VIDEO_STAR_ROOTS") as caught:
            resolve(str(name), access)
        messages.append(str(caught.value).replace(repr(str(name)), ""))
    assert len(set(messages)) == 1


def test_a_link_out_of_the_roots_is_rejected(tmp_path: Path) -> None:
    inside, secret = tmp_path / "in", tmp_path / "secret.mp4"
    inside.mkdir()
    secret.write_bytes(b"x")
    (inside / "link.mp4").symlink_to(secret)
    assert resolve(str(inside / "link.mp4"), ANYWHERE) == secret
    with pytest.raises(VideoNotAllowed):
        resolve(str(inside / "link.mp4"), VideoAccess(roots=(inside,)))


def test_a_folder_whose_name_starts_like_a_root_is_outside(tmp_path: Path) -> None:
    (tmp_path / "videos-private").mkdir()
    (tmp_path / "videos-private" / "clip.mp4").write_bytes(b"x")
    with pytest.raises(VideoNotAllowed):
        resolve(str(tmp_path / "videos-private" / "clip.mp4"), VideoAccess(roots=(tmp_path / "videos",)))


def test_the_bundled_clip_is_always_allowed(walking_clip: Path, tmp_path: Path) -> None:
    assert resolve(str(walking_clip), VideoAccess(roots=(tmp_path,))).samefile(walking_clip)


def test_the_environment_sets_the_access(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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


def test_a_server_reads_only_its_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIDEO_STAR_ROOTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert VideoAccess.from_environment().roots is None
    assert VideoAccess.from_environment(served=True).roots == (tmp_path, CLIPS)


def test_the_identity_depends_on_the_content_only(tmp_path: Path) -> None:
    for name, content in (("a.mp4", b"same"), ("b.webm", b"same"), ("c.mp4", b"other")):
        (tmp_path / name).write_bytes(content)
    first, second, third = (identify(tmp_path / name) for name in ("a.mp4", "b.webm", "c.mp4"))
    assert first == second != third
    assert len(first) == 32 and int(first, 16) >= 0


def test_a_large_file_is_identified_without_reading_all_of_it(tmp_path: Path) -> None:
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


def test_a_url_is_downloaded_once_an_hour(site: Site) -> None:
    path = resolve(site.url("/clip/walk.mp4#t=5"), local_access())
    assert path.read_bytes() == b"content of walk.mp4"
    assert resolve(site.url("/clip/walk.mp4"), local_access()) == path
    assert site.requests == [("/clip/walk.mp4", f"localhost:{site.server_port}")]
    os.utime(path, (0, 0))
    assert resolve(site.url("/clip/walk.mp4"), local_access()) == path
    assert len(site.requests) == 2 and downloads() == [path.name]


def test_the_least_recently_used_downloads_are_deleted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    access = replace(local_access(), disk_bytes=60)
    first, second = (resolve(site.url(f"/clip/{name}.mp4"), access) for name in ("a", "b"))
    long_ago = time.time() - 3 * disk_budget.GRACE
    for path in (first, second):
        os.utime(path, (long_ago, long_ago))
    assert resolve(site.url("/clip/a.mp4"), access) == first, "it is reused, not downloaded again"
    resolve(site.url("/clip/c.mp4"), access)
    resolve(site.url("/clip/d.mp4"), access)
    assert first.exists() and not second.exists() and len(site.requests) == 4


def test_an_unwritable_disk_is_reported(site: Site, home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(DownloadFailed, match=r"cannot be saved .* free some space there, or set VIDEO_STAR_HOME"):
        resolve(site.url("/clip/a.mp4"), local_access())


def test_a_disk_that_fills_up_keeps_no_partial_download(site: Site) -> None:
    resource = pytest.importorskip("resource", reason="needs limits on written files, which Windows lacks")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(DownloadFailed, match="cannot be saved"):
            resolve(site.url("/clip/a.mp4"), local_access())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert downloads() == []


def test_a_url_is_rejected_unless_its_host_is_listed(site: Site) -> None:
    for access in (ANYWHERE, VideoAccess(hosts=("media.example.org",), private_addresses=True)):
        with pytest.raises(VideoNotAllowed, match="set VIDEO_STAR_HOSTS"):
            resolve(site.url("/clip/a"), access)
    assert site.requests == []


def test_a_private_address_is_rejected_in_any_notation(site: Site) -> None:
    for host in (
        "localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
        "[::ffff:0:7f00:1]", "[64:ff9b:1::7f00:1]",
    ):  # fmt: skip
        with pytest.raises((VideoNotAllowed, DownloadFailed)) as caught:
            resolve(site.url("/clip/a", host), VideoAccess(hosts=("*",)))
        assert site.requests == [], host
        if host in ("localhost", "127.0.0.1") or host.startswith("["):
            assert "VIDEO_STAR_PRIVATE_ADDRESSES=1" in str(caught.value)


def test_public_addresses_are_distinguished_from_private_ones() -> None:
    for address, public in (
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
        ("2002:5db8:d70e::", True),
        ("::ffff:93.184.215.14", True),
        ("::127.0.0.1", False),
        ("::a9fe:a9fe", False),
        ("::ffff:0:127.0.0.1", False),
        ("::ffff:0:93.184.215.14", False),
        ("64:ff9b:1::7f00:1", False),
        ("64:ff9b:1::5db8:d70e", False),
        ("2001:0:7f00:1::", False),
        ("2606:2800::5efe:7f00:1", False),
        ("2606:2800::200:5efe:a00:1", False),
        ("fec0::1", False),
        ("5f00::1", False),
        ("3fff::1", False),
        ("ff0e::1", False),
        ("192.0.0.8", False),
        ("192.88.99.1", False),
        ("168.63.129.16", False),
    ):
        assert _public(address) is public, address


def test_the_connection_goes_to_the_address_that_was_checked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert site.requests == [("/clip/a", f"clips.example:{site.server_port}")]
    assert len(asked) == 1


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """The requests of downloads, none of which is sent: each is answered with a redirect to itself."""
    requests: list[httpx.Request] = []

    def send(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        requests.append(request)
        location = f"{request.url.scheme}://{request.headers['host']}{request.url.path}"
        return httpx.Response(302, headers={"location": location}, request=request)

    monkeypatch.setattr(httpx.Client, "send", send)
    return requests


def answers(monkeypatch: pytest.MonkeyPatch, *turns: list[str]) -> None:
    """Let every name resolve to the addresses of the next turn, and to those of the last one from then on."""
    left = list(turns)

    def resolved(host: str, port: int, **options: Any) -> Any:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "2130706433", "017700000001",
        "0x7F000001", "0", "0.0.0.0", "127.0.0.1.", "LOCALHOST", "localhost.", "127\u30020\u30020\u30021",
        "\uff11\uff12\uff17.0.0.1",
        "\u2460\u2461\u2466.0.0.1", "loc%61lhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[64:ff9b::127.0.0.1]",
        "[fe80::1%25lo]", "[::1%25lo]", "[fec0::1]", "169.254.169.254", "0xa9fea9fe", "2852039166", "[fd00:ec2::254]",
        "[::ffff:a9fe:a9fe]", "[2002:a9fe:a9fe::]", "100.100.100.200",
    ],
)  # fmt: skip
def test_no_form_of_an_own_address_is_connected_to(
    sent: list[httpx.Request], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    real = socket.getaddrinfo

    def numeric(name: str, port: int, **options: Any) -> Any:
        name = "127.0.0.1" if name.lower().rstrip(".") == "localhost" else name
        return real(name, port, flags=socket.AI_NUMERICHOST, **options)

    monkeypatch.setattr(socket, "getaddrinfo", numeric)
    with pytest.raises((VideoNotAllowed, DownloadFailed)):
        resolve(f"http://{host}/clip.mp4", VideoAccess(hosts=("*",)))
    assert sent == []


def test_every_answer_for_a_name_counts(sent: list[httpx.Request], monkeypatch: pytest.MonkeyPatch) -> None:
    for addresses in (["93.184.215.14", "10.0.0.1"], ["2606:2800::1", "::1"], ["10.0.0.1", "93.184.215.14"]):
        answers(monkeypatch, addresses)
        with pytest.raises(VideoNotAllowed, match="private network"):
            resolve("http://clips.example/a.mp4", VideoAccess(hosts=("*",)))
    assert sent == []


def test_answers_that_change_are_checked_again(sent: list[httpx.Request], monkeypatch: pytest.MonkeyPatch) -> None:
    for second in ("127.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0"):
        sent.clear()
        answers(monkeypatch, ["93.184.215.14"], [second])
        with pytest.raises(VideoNotAllowed, match="private network"):
            resolve("http://clips.example/a.mp4", VideoAccess(hosts=("clips.example",)))
        assert [(request.url.host, request.headers["host"]) for request in sent] == [("93.184.215.14", "clips.example")]


def test_a_listed_host_is_that_host_only(sent: list[httpx.Request], monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, ["93.184.215.14"])
    for url in (
        "http://clips.example.evil.invalid/a", "http://evilclips.example/a", "http://clips.example@evil.invalid/a",
        "http://clips.example:x@evil.invalid/a", "http://clips.example%2eevil.invalid/a", "http://clips.example\\@evil/a",
        "http://evil.invalid#@clips.example/a", "http://evil.invalid?@clips.example/a", "http://clip\u017f.example/a",
    ):  # fmt: skip
        with pytest.raises(VideoNotAllowed):
            resolve(url, VideoAccess(hosts=("clips.example",)))
    assert sent == []


def test_proxies_in_the_environment_are_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert resolve(site.url("/clip/a"), local_access()).exists()


def test_redirects_are_followed_and_checked(site: Site) -> None:
    assert resolve(site.url("/redirect//clip/b"), local_access()).read_bytes() == b"content of b"
    for target in ("http@127.0.0.1:1/x", "ftp@localhost/x", "file@/etc/hostname"):
        with pytest.raises(VideoNotAllowed):
            resolve(site.url(f"/redirect/{target}"), local_access())
    with pytest.raises(DownloadFailed, match="more than 3 redirects"):
        resolve(site.url("/loop/"), local_access())
    assert len(downloads()) == 1


def test_a_redirect_to_a_private_address_is_rejected(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_public", lambda address: address == "127.0.0.1")
    for target in ("[::127.0.0.1]", "[64:ff9b:1::7f00:1]", "10.0.0.1"):
        with pytest.raises(VideoNotAllowed, match="VIDEO_STAR_PRIVATE_ADDRESSES"):
            resolve(site.url(f"/redirect/http@{target}:{site.server_port}/clip/b"), VideoAccess(hosts=("*",)))
    assert len(site.requests) == 3 and downloads() == []


def test_a_redirect_without_an_address_is_a_failed_download(site: Site) -> None:
    for status in (300, 301, 302, 303, 304, 305, 307, 308, 399):
        with pytest.raises(DownloadFailed, match=f"localhost answered {status} without a new address; check the URL"):
            resolve(site.url(f"/bare/{status}"), local_access())
    assert downloads() == []


def test_errors_do_not_repeat_what_a_server_said(site: Site) -> None:
    hosts = VideoAccess(hosts=("localhost", "127.0.0.1", "xn--"), private_addresses=True)
    for path in (
        "/rude/HTTP/1.1_404_SECRET",
        "/rude/SECRET",
        "/rude/HTTP/1.1_200_OK|content-length:SECRET",
        "/rude/HTTP/1.1_200_OK|SECRET",
        f"/rude/HTTP/1.1_200_OK|content-length:{'9' * 5000}",
        "/redirect/http@secret.example/x",
        "/redirect/SECRET@host/x",
        "/redirect/http@user:SECRET%40localhost/x",
        "/redirect/http@xn--/SECRET",
        "/redirect/http@[SECRET/x",
        f"/redirect/http@127.0.0.1:{site.server_port}/missing/a",
    ):
        with pytest.raises(BadInput) as caught:
            resolve(site.url(path), hosts)
        said = str(caught.value)
        assert "secret" not in said.lower() and "9999" not in said and "localhost" in said, said
        assert "127.0.0.1" not in said, said
    assert downloads() == []


def test_failed_downloads_are_distinguished_and_leave_nothing(site: Site) -> None:
    with pytest.raises(DownloadFailed, match="404"):
        resolve(site.url("/missing/a"), local_access())
    with pytest.raises(DownloadFailed, match="check the URL"):
        resolve(site.url("/cut/a"), local_access())
    with pytest.raises(DownloadFailed, match="check the URL"):
        resolve("http://localhost:1/a", local_access())
    with pytest.raises(VideoTooLarge, match="larger than 1 MB"):
        resolve(site.url("/endless/a"), local_access(max_bytes=2**20))
    assert downloads() == []


@pytest.mark.parametrize("kind", ["dribble", "dribbling_header"])
def test_a_slow_download_is_aborted(site: Site, kind: str) -> None:
    with pytest.raises(VideoTooLarge, match="within 1 s"):
        resolve(site.url(f"/{kind}/a"), local_access(seconds=1.0))
    assert downloads() == []


def test_malformed_urls_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, port: int, **_: Any) -> Any:
        host.encode("idna")
        raise OverflowError if port > 65535 else socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for url in (
        "http://", "http://[::1", "https://user:word@localhost/a", "http://\ud800/a", "http://xn--/a",
        "http://xn--a.invalid-/a", "https://XN--/a", "http://a.xn--.b/a", "http://\u2024/a", "http://-/a",
        f"http://{'a' * 70}.example/a", "http://a..example/a", "http://.../a", "http://host:99999999999/a",
        "http://[v1.a]/a", "http://%00/a",
    ):  # fmt: skip
        for access in (VideoAccess(hosts=("*",)), VideoAccess(hosts=("xn--",)), VideoAccess()):
            with pytest.raises((VideoNotAllowed, DownloadFailed)):
                resolve(url, access)
