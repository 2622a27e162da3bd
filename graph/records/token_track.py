"""Token tracks: the exact ids a policy read and sampled, turn by turn, and when a run is one sequence to train on.

A turn extends the one before when its prompt begins with every id that turn read and sampled; a run whose turns all
extend is one training row. Where a turn does not (a server that renders history anew, a corrected call), the run forks:
the fork is counted and kept as a sequence of its own, never hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from ...tools.execution.media_store import MediaStore

TOKEN_TRACK: Final = "token_track"
"""Under this name a backend puts {prompt_ids, completion_ids, logprobs} into a turn's `response_metadata`; a policy
that speaks in tokens adds whose ids they are, {vocabulary}."""


@dataclass(frozen=True)
class Track:
    """The tokens of one policy turn."""

    node: str
    """The node that asked for the turn."""
    message: int
    """Which message of the conversation the turn is, from 0."""
    prompt_ids: tuple[int, ...]
    """Everything the model read, image pads expanded."""
    completion_ids: tuple[int, ...]
    """What it sampled."""
    logprobs: tuple[float, ...]
    """Log-probability of each sampled id, as the backend reports it; empty where it reports none."""

    def __post_init__(self) -> None:
        if self.logprobs and len(self.logprobs) != len(self.completion_ids):
            raise ValueError(f"{len(self.logprobs)} log-probabilities for {len(self.completion_ids)} sampled tokens")


@dataclass
class TokenSequence:
    """Turns that extend each other, as one sequence."""

    ids: list[int] = field(default_factory=list)
    """The last prompt and its completion: (tokens,)."""
    sampled: list[int] = field(default_factory=list)
    """1 where the policy sampled the token, 0 where it read it: (tokens,)."""
    logprobs: list[float] = field(default_factory=list)
    """Log-probability of sampled tokens, 0 elsewhere: (tokens,)."""
    spans: list[tuple[str, int, int]] = field(default_factory=list)
    """(node, first, one past last) of each turn's sampled tokens."""
    message: int = 0
    """Which message of the conversation the last turn is: what the sequence has read lies before it."""

    def add(self, track: Track) -> None:
        """Append a turn that extends this sequence."""
        read = track.prompt_ids[len(self.ids) :]
        first = len(self.ids) + len(read)
        self.ids += [*read, *track.completion_ids]
        self.sampled += [0] * len(read) + [1] * len(track.completion_ids)
        self.logprobs += [0.0] * len(read) + list(track.logprobs or [0.0] * len(track.completion_ids))
        self.message = track.message
        self.spans.append((track.node, first, first + len(track.completion_ids)))


def tracks(messages: Sequence[Mapping[str, Any]], store: MediaStore) -> list[Track]:
    """The token tracks of a record's messages, in order; turns whose track is lost or was never given are left out."""
    found = []
    for number, message in enumerate(messages):
        if "tokens" not in message:
            continue
        try:
            kept = store.get_json(message["tokens"])
        except KeyError:
            continue
        values = (tuple(kept[name]) for name in ("prompt_ids", "completion_ids", "logprobs"))
        found.append(Track(message["node"], number, *values))
    return found


def sequences(turns: Sequence[Track]) -> list[TokenSequence]:
    """The turns as training sequences: one where every turn extends the one before, one more for each fork."""
    found: list[TokenSequence] = []
    for turn, more in zip(turns, extends(turns), strict=True):
        if not more:
            found.append(TokenSequence())
        found[-1].add(turn)
    return found


def extends(turns: Sequence[Track]) -> list[bool]:
    """For each turn, whether its prompt begins with every id of the turn before; the first extends none."""
    return [False] * bool(turns) + [
        turn.prompt_ids[: len(before.prompt_ids) + len(before.completion_ids)]
        == before.prompt_ids + before.completion_ids
        for before, turn in pairwise(turns)
    ]
