"""How weights come: whole, checked, resumed; and what is refused. Fetched from a real server on this machine."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from video_star.cli import app
from video_star.tools.errors import BadInput, BadWeights, DownloadFailed
from video_star.tools.vision.checkpoints import NAMES, SHA256, digest, locate, pull

pytestmark = pytest.mark.slow

UNKNOWN = "yolo11l-pose"
"""Weights whose checksum nobody publishes: trusted on first use."""


def checkpoint(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", bytes([seed]) * 300_000)
    return buffer.getvalue()


class Release(ThreadingHTTPServer):
    """Serves one body for all names, as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = checkpoint()
        self.breaks_after: int | None = None
        self.redirect = ""
        self.claims = 0
        self.status = 200
        self.asked: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Release
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        release, wanted = self.server, self.headers["range"]
        release.asked.append(wanted)
        self.close_connection = True
        if release.redirect:
            self.send_response(302)
            self.send_header("location", release.redirect)
            self.send_header("content-length", "0")
            self.end_headers()
            release.redirect = ""
            return
        etag = f'"{hashlib.sha256(release.body).hexdigest()[:8]}"'
        start = 0
        if wanted and self.headers["if-range"] == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(release.body):
            self.send_response(416)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        body = release.body[start:]
        self.send_response(206 if start else release.status)
        if start:
            self.send_header("content-range", f"bytes {start}-{len(release.body) - 1}/{len(release.body)}")
        self.send_header("etag", etag)
        self.send_header("content-length", str(release.claims or len(body)))
        self.end_headers()
        self.wfile.write(body[: release.breaks_after])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    with Release() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("VIDEO_STAR_WEIGHTS_URL", server.address)
        yield server
        server.shutdown()


def test_weights_come_whole_and_once(release: Release, home: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = pull(UNKNOWN, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == release.body and path.is_relative_to(home)
    assert seen[0][0] == 0 and seen[-1] == (len(release.body),) * 2
    assert pull(UNKNOWN) == locate(UNKNOWN) == path and len(release.asked) == 1
    assert sorted(each.name for each in path.parent.iterdir()) == [f"{UNKNOWN}.pt", f"{UNKNOWN}.pt.sha256"]


def test_a_fetch_that_broke_off_goes_on_where_it_stopped(release: Release) -> None:
    release.breaks_after = 100_000
    with pytest.raises(DownloadFailed, match="goes on where it stopped"):
        pull(UNKNOWN)
    with pytest.raises(BadWeights, match="not on this machine"):
        locate(UNKNOWN)
    release.breaks_after = None
    assert pull(UNKNOWN).read_bytes() == release.body
    assert release.asked == [None, "bytes=100000-"]


def test_halves_of_two_files_never_meet(release: Release) -> None:
    release.breaks_after = 100_000
    with pytest.raises(DownloadFailed):
        pull(UNKNOWN)
    release.breaks_after, release.body = None, checkpoint(7)
    assert pull(UNKNOWN).read_bytes() == checkpoint(7)


def test_a_part_that_is_whole_already_is_fetched_anew(release: Release, home: Path) -> None:
    release.breaks_after = 100_000
    with pytest.raises(DownloadFailed):
        pull(UNKNOWN)
    (home / "models" / f"{UNKNOWN}.part").write_bytes(release.body)
    release.breaks_after = None
    assert pull(UNKNOWN).read_bytes() == release.body and len(release.asked) == 3


def test_weights_with_a_known_checksum_must_have_it(release: Release, home: Path) -> None:
    with pytest.raises(DownloadFailed, match=SHA256["yolo11n-pose"]):
        pull("yolo11n-pose")
    assert not list((home / "models").glob("*.pt")) and not list((home / "models").glob("*.part"))


def test_weights_trusted_on_first_use_are_held_to_it(release: Release) -> None:
    path = pull(UNKNOWN)
    assert path.with_suffix(".pt.sha256").read_text().split() == [digest(path), path.name]
    path.unlink()
    release.body = checkpoint(9)
    with pytest.raises(DownloadFailed, match="not what was published"):
        pull(UNKNOWN)
    release.body = checkpoint()
    assert pull(UNKNOWN) == path


def test_changed_weights_are_not_used_but_fetched_anew(release: Release) -> None:
    path = pull(UNKNOWN)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BadWeights, match="fetch it again"):
        locate(UNKNOWN)
    assert pull(UNKNOWN).read_bytes() == release.body


def test_weights_put_there_by_somebody_are_not_taken_for_the_published_ones(home: Path) -> None:
    (home / "models").mkdir(parents=True)
    for name in (UNKNOWN, "yolo11n"):
        (home / "models" / f"{name}.pt").write_bytes(checkpoint())
        with pytest.raises(BadWeights, match="name it by its path"):
            locate(name)


@pytest.mark.parametrize(
    "told, remedy",
    [
        ({"body": b"<html>sign in</html>"}, "not what was published"),
        ({"claims": 300 * 2**20}, "larger than 256 MB"),
        ({"status": 404}, "answered 404"),
        ({"status": 206}, "answered 206"),
        ({"redirect": "http://example.com/yolo.pt"}, "only https"),
        ({"redirect": "file:///etc/passwd"}, "only https"),
    ],
)
def test_what_is_no_checkpoint_or_leads_astray_is_refused(
    told: dict[str, object], remedy: str, release: Release, home: Path
) -> None:
    for name, value in told.items():
        setattr(release, name, value)
    with pytest.raises(DownloadFailed, match=remedy):
        pull(UNKNOWN)
    assert not list((home / "models").glob("*.pt*"))


def test_redirects_on_the_way_are_followed(release: Release) -> None:
    release.redirect = "/elsewhere"
    assert pull(UNKNOWN).read_bytes() == release.body and len(release.asked) == 2


@pytest.mark.parametrize("address", ["http://example.com", "ftp://localhost/x", "nothing", "http://"])
def test_only_safe_addresses_are_mirrors(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_STAR_WEIGHTS_URL", address)
    with pytest.raises(BadInput, match="https://"):
        pull(UNKNOWN)


def test_a_server_out_of_reach_is_reported(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_STAR_WEIGHTS_URL", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match="check the network"):
        pull(UNKNOWN)


def test_two_processes_do_not_write_one_file(release: Release, home: Path) -> None:
    import fcntl

    (home / "models").mkdir(parents=True)
    with (home / "models" / f"{UNKNOWN}.part").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DownloadFailed, match="another process"):
            pull(UNKNOWN)
    assert pull(UNKNOWN).read_bytes() == release.body


def test_the_command_line_fetches_and_lists(release: Release) -> None:
    told = CliRunner().invoke(app, ["models", "pull", UNKNOWN])
    assert told.exit_code == 0 and f"{UNKNOWN}.pt" in told.stdout
    assert "AGPL-3.0" in told.stderr and "trusted on first use" in told.stderr
    listed = CliRunner().invoke(app, ["models", "list"])
    assert listed.exit_code == 0 and "AGPL-3.0" in listed.stdout and "engine in use: embedded-1" in listed.stdout
    here = [line for line in listed.stdout.splitlines() if line.strip().startswith("✓")]
    assert len(here) == 1 and UNKNOWN in here[0]
    assert len(re.findall(r"video-star models pull yolo11\S+", listed.stdout)) == len(NAMES) - 1


def test_the_command_line_names_the_weights_there_are() -> None:
    told = CliRunner().invoke(app, ["models", "pull", "yolo11n", "resnet"])
    assert told.exit_code == 2 and "yolo11n-pose" in told.stderr and "Traceback" not in told.stderr
