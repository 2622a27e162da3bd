"""Run the command line in tests: the installed script as a process, or its app in this process."""

import os
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner, Result

from video_star.cli import app

SCRIPT = Path(sysconfig.get_path("scripts")) / "video-star"
SPAN = ("--start", "0", "--end", "1")


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    code: int
    stdout: str
    stderr: str


def typed(
    *words: str | Path | bytes,
    folder: Path,
    program: Sequence[str | Path] = (SCRIPT,),
    limit: float = 60,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run the installed command in a process of its own, ended after `limit` seconds."""
    ended = subprocess.run(
        [*program, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        timeout=limit,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def invoke(*words: str | Path) -> Result:
    """Run the command in this process, which saves the imports."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def one_error_line(stderr: str) -> bool:
    """Whether stderr is one line with an error that says something, and no traceback."""
    return stderr.count("\n") == 1 and stderr.startswith("Error: ") and len(stderr) > 30


def error_of(result: Result) -> str:
    """The class of the error that ended a command, which prints its message only."""
    assert one_error_line(result.stderr), result.stderr
    left = result.exception.__context__ if result.exception else None
    return type(left.__cause__ if left else None).__name__
