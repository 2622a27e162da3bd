"""The folder of a synthesis: accepted traces, rejected traces, and the settings they were made with.

`runs.jsonl` with `media/` holds the verified traces, for `video-star show`, `export` and training. `rejected/` has the
same format, with the reasons of each rejection; `README.md` summarises both. A trace counts once its line is complete
on disk and is then never made again; a trace that was in progress when the process ended is made anew.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ...graph.concurrency import finished
from ...graph.records.shape import damage
from ...graph.records.trace import FILE, append, read_numbered
from ...graph.state import Price
from ...tools.errors import BadInput
from ...tools.execution.media_store import UNFINISHED, write_atomically
from ...tools.output_files import check_folder
from .rules import fingerprint

SETTINGS: Final = "synthesis.json"
REJECTED: Final = "rejected"
LOCK: Final = ".lock"
WRITTEN: Final = (FILE, SETTINGS, f"{REJECTED}/{FILE}", "README.md", LOCK)
"""The files that are written, besides media."""
_RENAMED: Final = {"per_clip": "traces_per_clip", "failing": "tool_failure_rate"}
"""Settings under the names that earlier versions wrote."""

_TIME_LIMITS: Final = ("policy_seconds", "tool_seconds")
"""Settings that may change when a folder is resumed."""


@dataclass
class Progress:
    """Progress of a synthesis. Everything except speed covers the whole folder, over all its sessions."""

    target: int
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Rule to number of traces it rejected; a trace may break several rules."""
    attempts: int = 0
    """Traces on record, accepted or not."""
    session_attempts: int = 0
    """Those of this session."""
    tokens: Counter[str] = field(default_factory=Counter)
    """`input`, `output` and `cached` tokens of the teacher; cached ones are part of the input."""
    verifier_tokens: Counter[str] = field(default_factory=Counter)
    """The same for the verifier."""
    reported_cost: float = 0.0
    """USD, as reported by the teacher's provider."""
    price: Price | None = None
    """Of the teacher's tokens."""
    verifier_price: Price | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def acceptance_rate(self) -> float:
        """Accepted traces per attempt, in [0, 1]."""
        return self.accepted / self.attempts if self.attempts else 0.0

    @property
    def attempts_per_second(self) -> float:
        """Attempts per second in this session."""
        return self.session_attempts / self.seconds

    @property
    def seconds(self) -> float:
        """Duration of this session so far."""
        return max(time.monotonic() - self.started, 1e-9)

    @property
    def cost(self) -> float:
        """Total cost including rejected traces: from the prices, or without a price as reported by the provider."""
        teacher = self.price.of(self.tokens) if self.price is not None else self.reported_cost
        return teacher + (self.verifier_price.of(self.verifier_tokens) if self.verifier_price is not None else 0.0)

    def count(self, record: Mapping[str, Any]) -> None:
        """Add a trace on record."""
        synthesis, usage = record["synthesis"], record["recognition"]["usage"]
        self.attempts += 1
        self.rejected.update(synthesis["reasons"].keys())
        self.accepted += not synthesis["reasons"]
        self.tokens.update(usage["tokens"])
        self.verifier_tokens.update(synthesis.get("verifier_tokens", {}))
        self.reported_cost += (usage["cost"] or {}).get("amount", 0.0)


class TraceFolder:
    """The traces in a folder. Only one process at a time can write to it."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], progress: Progress) -> None:
        """Open a new folder, or one to resume.

        Args:
            folder: Where the traces are written.
            settings: What the traces depend on, as plain JSON.
            progress: Counts the traces on record.

        Raises:
            BadInput: Another process writes to the folder, it was made with other settings, or it holds other files.
            BadRecord: A record cannot be read.
        """
        check_folder("--out", folder, mark=SETTINGS)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.progress, self._opened = progress, datetime.now(UTC).isoformat()
        self._lock = _lock(folder)
        self._check(settings)
        self._traces_per_clip = settings["traces_per_clip"]
        self._accepted: Counter[str] = Counter()
        self._attempted: set[tuple[str, int]] = set()
        self._fingerprints: set[str] = set()
        _remove_unfinished(folder)
        for part in (folder, folder / REJECTED):
            for where, record in read_numbered(part) if (part / FILE).is_file() else ():
                with damage(where):
                    self._count(record)

    def needs(self, clip: str, attempt: int) -> bool:
        """Whether this attempt at this clip is still to be made."""
        return self._accepted[clip] < self._traces_per_clip and (clip, attempt) not in self._attempted

    def claim(self, record: Mapping[str, Any]) -> bool:
        """Whether the trace differs from every other trace that is accepted or being verified."""
        mark = fingerprint(record)
        new = mark not in self._fingerprints
        self._fingerprints.add(mark)
        return new

    def release(self, record: Mapping[str, Any]) -> None:
        """Take back the claim of a trace that could not be verified."""
        self._fingerprints.discard(fingerprint(record))

    async def append(self, record: dict[str, Any]) -> None:
        """Write a trace, with {clip, label, attempt, reasons, verifier_tokens} under `synthesis`.

        `session` is added to these: when the folder was opened, and how many seconds later the trace was finished.
        """
        record["synthesis"]["session"] = {"began": self._opened, "seconds": round(self.progress.seconds, 1)}
        folder = self.folder / REJECTED if record["synthesis"]["reasons"] else self.folder
        await finished(asyncio.to_thread(append, record, folder))
        self._count(record)
        self.progress.session_attempts += 1

    def close(self) -> None:
        """Release the folder for other processes."""
        self._lock.close()

    def _count(self, record: Mapping[str, Any]) -> None:
        synthesis = record["synthesis"]
        self._attempted.add((synthesis["clip"], synthesis["attempt"]))
        self.progress.count(record)
        if not synthesis["reasons"]:
            self._accepted[synthesis["clip"]] += 1
            self.claim(record)

    def _check(self, settings: Mapping[str, Any]) -> None:
        path, parts = self.folder / SETTINGS, (self.folder, self.folder / REJECTED)
        if not path.is_file() or not any((part / FILE).is_file() for part in parts):
            write_atomically(path, json.dumps(settings, indent=1, ensure_ascii=False).encode())
            return
        before = read_settings(self.folder)
        changed = sorted(name for name in {*before, *settings} if _content(before, name) != _content(settings, name))
        if changed:
            raise BadInput(
                f"the traces in {self.folder} were made with other settings ({', '.join(changed)}); "
                "give the same settings, or another folder"
            )


def _content(settings: Mapping[str, Any], name: str) -> Any:
    """A setting, without time limits."""
    value = settings.get(name)
    return {key: each for key, each in value.items() if key not in _TIME_LIMITS} if isinstance(value, dict) else value


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings that the traces in a folder were made with, under their present names.

    Raises:
        BadInput: The file is not JSON.
    """
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{folder / SETTINGS} is not JSON; give another folder") from None
    return {_RENAMED.get(name, name): value for name, value in found.items()}


def _remove_unfinished(folder: Path) -> None:
    """Remove the incomplete files of a killed process."""
    for part in folder.rglob(f"{UNFINISHED}*"):
        part.unlink(missing_ok=True)


def _lock(folder: Path) -> Any:
    file = (folder / LOCK).open("a")
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise BadInput(f"another process writes to {folder}; wait for it, or give another folder") from None
    return file
