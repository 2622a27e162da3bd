"""The folder of a synthesis: chains kept, chains rejected, and with which settings they were made.

`runs.jsonl` with `media/` is a trace of the verified chains, for `video-star show`, `export` and training. `rejected/`
is a trace of the others, each with the reasons; `README.md` sums both up. A chain is on record when its line is whole
on disk, and then it is never made again; one that was under way when the work was broken off is made anew.
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

from ...graph.records.trace import FILE, append, read
from ...graph.state import Price
from ...tools.errors import BadInput
from ...tools.execution.media_store import write_atomically
from .rules import fingerprint

SETTINGS: Final = "synthesis.json"
REJECTED: Final = "rejected"
LOCK: Final = ".lock"


@dataclass
class Progress:
    """How far a synthesis is. All but speed is of the whole folder, whoever made it in however many sittings."""

    target: int
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Rule to chains that it rejected; a chain may break several."""
    tried: int = 0
    """Chains on record, accepted or not."""
    made: int = 0
    """Those of this sitting."""
    tokens: Counter[str] = field(default_factory=Counter)
    """`input`, `output` and `cached` of the teacher; cached ones are among the input."""
    verifier_tokens: Counter[str] = field(default_factory=Counter)
    """The same of the verifier."""
    reported: float = 0.0
    """USD, as the teacher's provider reports it."""
    price: Price | None = None
    """Of the teacher's tokens."""
    verifier_price: Price | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """0..1: chains accepted of those tried; the yield."""
        return self.accepted / self.tried if self.tried else 0.0

    @property
    def speed(self) -> float:
        """Chains made per second of this sitting, rejected ones among them."""
        return self.made / self.seconds

    @property
    def seconds(self) -> float:
        """Of this sitting so far."""
        return max(time.monotonic() - self.began, 1e-9)

    @property
    def cost(self) -> float:
        """What was spent, rejected chains among it: by the prices, or where there is none as reported."""
        teacher = self.price.of(self.tokens) if self.price is not None else self.reported
        return teacher + (self.verifier_price.of(self.verifier_tokens) if self.verifier_price is not None else 0.0)

    def count(self, record: Mapping[str, Any]) -> None:
        """Add a chain that is on record."""
        verdict, usage = record["synthesis"], record["recognition"]["usage"]
        self.tried += 1
        self.rejected.update(verdict["reasons"].keys())
        self.accepted += not verdict["reasons"]
        self.tokens.update(usage["tokens"])
        self.verifier_tokens.update(verdict.get("verifier_tokens", {}))
        self.reported += (usage["cost"] or {}).get("amount", 0.0)


class Chains:
    """What is on record in the folder, and where more goes. One process at a time writes it."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], progress: Progress) -> None:
        """Open the folder, new or begun.

        Args:
            folder: Where the chains go.
            settings: What the chains depend on, as plain JSON.
            progress: The count, to which what is on record is added.

        Raises:
            BadInput: Another process writes there, or what is there was made with other settings.
            BadRecord: What is there cannot be read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.progress, self._opened = progress, datetime.now(UTC).isoformat()
        self._lock = _locked(folder)
        self._check(settings)
        self._per_clip = settings["per_clip"]
        self._accepted: Counter[str] = Counter()
        self._tried: set[tuple[str, int]] = set()
        self._said: set[str] = set()
        for part in (folder, folder / REJECTED):
            for record in read(part) if (part / FILE).is_file() else ():
                self._count(record)

    def wanted(self) -> bool:
        """Whether the target is not yet reached."""
        return self.progress.accepted < self.progress.target

    def open(self, clip: str, attempt: int) -> bool:
        """Whether this attempt at this clip is still to be made."""
        return self._accepted[clip] < self._per_clip and (clip, attempt) not in self._tried

    def claim(self, record: Mapping[str, Any]) -> bool:
        """Whether no other chain, accepted or about to be, says and does the very same."""
        said = fingerprint(record)
        new = said not in self._said
        self._said.add(said)
        return new

    async def put(self, record: dict[str, Any]) -> None:
        """Put a chain on record, with {clip, label, attempt, reasons, verifier_tokens} under `synthesis`.

        To these comes `sitting`: when the folder was opened, and how many seconds later the chain was made.
        """
        record["synthesis"]["sitting"] = {"began": self._opened, "seconds": round(self.progress.seconds, 1)}
        folder = self.folder / REJECTED if record["synthesis"]["reasons"] else self.folder
        await asyncio.to_thread(append, record, folder)
        self._count(record)
        self.progress.made += 1

    def close(self) -> None:
        """Let another process write."""
        self._lock.close()

    def _count(self, record: Mapping[str, Any]) -> None:
        verdict = record["synthesis"]
        self._tried.add((verdict["clip"], verdict["attempt"]))
        self.progress.count(record)
        if not verdict["reasons"]:
            self._accepted[verdict["clip"]] += 1
            self.claim(record)

    def _check(self, settings: Mapping[str, Any]) -> None:
        path, parts = self.folder / SETTINGS, (self.folder, self.folder / REJECTED)
        if not path.is_file() or not any((part / FILE).is_file() for part in parts):
            write_atomically(path, json.dumps(settings, indent=1, ensure_ascii=False).encode())
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise BadInput(f"{path} is not JSON; give another folder") from None
        changed = sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name))
        if changed:
            raise BadInput(
                f"{self.folder} holds chains made with another {', '.join(changed)}; give the same, or another folder"
            )


def _locked(folder: Path) -> Any:
    file = (folder / LOCK).open("w")
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise BadInput(f"another process writes chains to {folder}; wait for it, or give another folder") from None
    return file
