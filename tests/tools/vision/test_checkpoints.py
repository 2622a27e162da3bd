"""Weights are downloaded completely, checked and resumed; unsafe downloads are refused. Uses a local HTTP server."""

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
"""Weights without a published checksum: trusted on first use."""


def checkpoint(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", bytes([seed]) * 300_000)
    return buffer.getvalue()


class Release(ThreadingHTTPServer):
    """Serves one body for all names, with the faults that a test sets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = checkpoint()
        self.breaks_after: int | None = None
        self.redirect = ""
        self.claims = 0
        self.status = 200
        self.requests: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Release
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        release, wanted = self.server, self.headers["range"]
        release.requests.append(wanted)
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


def test_weights_are_downloaded_completely_and_once(release: Release, home: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = pull(UNKNOWN, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == release.body and path.is_relative_to(home)
    assert seen[0][0] == 0 and seen[-1] == (len(release.body),) * 2
    assert pull(UNKNOWN) == locate(UNKNOWN) == path and len(release.requests) == 1
    assert sorted(each.name for each in path.parent.iterdir()) == [f"{UNKNOWN}.pt", f"{UNKNOWN}.pt.sha256"]


def test_an_interrupted_download_is_resumed(release: Release) -> None:
    release.breaks_after = 100_000
    with pytest.raises(DownloadFailed, match="resumes the download"):
        pull(UNKNOWN)
    with pytest.raises(BadWeights, match="not on this machine"):
        locate(UNKNOWN)
    release.breaks_after = None
    assert pull(UNKNOWN).read_bytes() == release.body
    assert release.requests == [None, "bytes=100000-"]


def test_parts_of_two_files_are_never_joined(release: Release) -> None:
    release.breaks_after = 100_000
    with pytest.raises(DownloadFailed):
        pull(UNKNOWN)
    release.breaks_after, release.body = None, checkpoint(7)
    assert pull(UNKNOWN).read_bytes() == checkpoint(7)


def test_a_complete_partial_file_is_downloaded_again(release: Release, home: Path) -> None:
    release.breaks_after = 100_000
    with pytest.raises(DownloadFailed):
        pull(UNKNOWN)
    (home / "models" / f"{UNKNOWN}.part").write_bytes(release.body)
    release.breaks_after = None
    assert pull(UNKNOWN).read_bytes() == release.body and len(release.requests) == 3


def test_a_known_checksum_must_match(release: Release, home: Path) -> None:
    with pytest.raises(DownloadFailed, match=SHA256["yolo11n-pose"]):
        pull("yolo11n-pose")
    assert not list((home / "models").glob("*.pt")) and not list((home / "models").glob("*.part"))


def test_later_files_must_match_the_digest_recorded_on_first_use(release: Release) -> None:
    path = pull(UNKNOWN)
    assert path.with_suffix(".pt.sha256").read_text().split() == [digest(path), path.name]
    path.unlink()
    release.body = checkpoint(9)
    with pytest.raises(DownloadFailed, match="not the published file"):
        pull(UNKNOWN)
    release.body = checkpoint()
    assert pull(UNKNOWN) == path


def test_changed_weights_are_rejected_and_downloaded_again(release: Release) -> None:
    path = pull(UNKNOWN)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BadWeights, match="download it again"):
        locate(UNKNOWN)
    changed = path.read_bytes()
    for words in ((), ("yolo11n",)):
        refused = CliRunner().invoke(app, ["models", "pull", *words, UNKNOWN])
        assert refused.exit_code == 2 and "--force" in refused.stderr and path.read_bytes() == changed
    assert len(release.requests) == 1
    assert pull(UNKNOWN, force=True).read_bytes() == release.body


def test_files_placed_by_hand_are_not_taken_for_published_weights(home: Path) -> None:
    (home / "models").mkdir(parents=True)
    for name in (UNKNOWN, "yolo11n"):
        (home / "models" / f"{name}.pt").write_bytes(checkpoint())
        with pytest.raises(BadWeights, match="give its path"):
            locate(name)


@pytest.mark.parametrize(
    "faults, message",
    [
        ({"body": b"<html>sign in</html>"}, "not the published file"),
        ({"claims": 300 * 2**20}, "larger than 256 MB"),
        ({"status": 404}, "answered 404"),
        ({"status": 206}, "answered 206"),
        ({"redirect": "http://example.com/yolo.pt"}, "only https"),
        ({"redirect": "file:///etc/passwd"}, "only https"),
    ],
)
def test_files_that_are_not_checkpoints_and_unsafe_redirects_are_refused(
    faults: dict[str, object], message: str, release: Release, home: Path
) -> None:
    for name, value in faults.items():
        setattr(release, name, value)
    with pytest.raises(DownloadFailed, match=message):
        pull(UNKNOWN)
    assert not list((home / "models").glob("*.pt*"))


def test_safe_redirects_are_followed(release: Release) -> None:
    release.redirect = "/elsewhere"
    assert pull(UNKNOWN).read_bytes() == release.body and len(release.requests) == 2


def test_only_safe_urls_are_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("http://example.com", "ftp://localhost/x", "nothing", "http://"):
        monkeypatch.setenv("VIDEO_STAR_WEIGHTS_URL", url)
        with pytest.raises(BadInput, match="https://"):
            pull(UNKNOWN)


def test_an_unreachable_server_is_reported(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_STAR_WEIGHTS_URL", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match="check the network"):
        pull(UNKNOWN)


def test_a_second_process_does_not_write_the_same_file(release: Release, home: Path) -> None:
    import fcntl

    (home / "models").mkdir(parents=True)
    with (home / "models" / f"{UNKNOWN}.part").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DownloadFailed, match="another process"):
            pull(UNKNOWN)
    assert pull(UNKNOWN).read_bytes() == release.body


def test_the_command_line_downloads_and_lists(release: Release) -> None:
    result = CliRunner().invoke(app, ["models", "pull", UNKNOWN])
    assert result.exit_code == 0 and f"{UNKNOWN}.pt" in result.stdout
    assert "AGPL-3.0" in result.stderr and "trusted on first use" in result.stderr
    listed = CliRunner().invoke(app, ["models", "list"])
    assert listed.exit_code == 0 and "AGPL-3.0" in listed.stdout and "engine in use: embedded-2" in listed.stdout
    here = [line for line in listed.stdout.splitlines() if line.strip().startswith("✓")]
    assert len(here) == 1 and UNKNOWN in here[0]
    assert len(re.findall(r"video-star models pull yolo\d\S+", listed.stdout)) == len(NAMES) - 1


def test_the_command_line_names_the_known_weights() -> None:
    result = CliRunner().invoke(app, ["models", "pull", "yolo11n", "resnet"])
    assert result.exit_code == 2 and "yolo11n-pose" in result.stderr and "Traceback" not in result.stderr
