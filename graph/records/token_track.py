"""Token tracks: the exact ids that a policy read and sampled in each turn, and the training sequences they form.

A turn extends the one before if its prompt begins with all ids which that turn read and sampled. A run whose turns all
extend is a single training sequence. If a turn does not extend (a server that renders history anew, a corrected call),
the run forks: forks are counted, and each is a sequence of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from ...tools.errors import MissingMedia
from ...tools.execution.media_store import MediaStore

TOKEN_TRACK: Final = "token_track"
"""Key of a turn's `response_metadata` under which a backend puts {prompt_ids, completion_ids, logprobs}; a token policy
adds the {vocabulary} of the ids."""


@dataclass(frozen=True)
class Track:
    """The tokens of one policy turn."""

    node: str
    """The node that requested the turn."""
    message: int
    """Index of the turn in the messages of the conversation, from 0."""
    prompt_ids: tuple[int, ...]
    """The ids that the model read, image pads expanded."""
    completion_ids: tuple[int, ...]
    """The ids that it sampled."""
    logprobs: tuple[float, ...]
    """Log-probability of each sampled id as reported by the backend; empty if it reports none."""

    def __post_init__(self) -> None:
        if self.logprobs and len(self.logprobs) != len(self.completion_ids):
            raise ValueError(f"{len(self.logprobs)} log-probabilities for {len(self.completion_ids)} sampled tokens")


@dataclass
class TokenSequence:
    """Turns that extend each other, as one training sequence."""

    ids: list[int] = field(default_factory=list)
    """The last prompt and its completion: (tokens,)."""
    completion_mask: list[int] = field(default_factory=list)
    """1 for a token that the policy sampled, 0 for one that it read: (tokens,)."""
    logprobs: list[float] = field(default_factory=list)
    """Log-probability of each sampled token, 0 elsewhere: (tokens,)."""
    spans: list[tuple[str, int, int]] = field(default_factory=list)
    """(node, start, end) of the sampled tokens of each turn, end exclusive."""
    message: int = 0
    """Index of the last turn in the messages of the conversation: the sequence has read the messages before it."""

    def add(self, track: Track) -> None:
        """Append a turn that extends this sequence."""
        read = track.prompt_ids[len(self.ids) :]
        first = len(self.ids) + len(read)
        self.ids += [*read, *track.completion_ids]
        self.completion_mask += [0] * len(read) + [1] * len(track.completion_ids)
        self.logprobs += [0.0] * len(read) + list(track.logprobs or [0.0] * len(track.completion_ids))
        self.message = track.message
        self.spans.append((track.node, first, first + len(track.completion_ids)))


def tracks(messages: Sequence[Mapping[str, Any]], store: MediaStore) -> list[Track]:
    """The token tracks of a record's messages, in order, without turns whose track is missing."""
    found = []
    for number, message in enumerate(messages):
        if "tokens" not in message:
            continue
        try:
            track = store.get_json(message["tokens"])
        except MissingMedia:
            continue
        values = (tuple(track[name]) for name in ("prompt_ids", "completion_ids", "logprobs"))
        found.append(Track(message["node"], number, *values))
    return found


def sequences(turns: Sequence[Track]) -> list[TokenSequence]:
    """The turns as training sequences: one, and one more for each fork."""
    found: list[TokenSequence] = []
    for turn, extending in zip(turns, extends(turns), strict=True):
        if not extending:
            found.append(TokenSequence())
        found[-1].add(turn)
    return found


def extends(turns: Sequence[Track]) -> list[bool]:
    """Whether each turn extends the one before; False for the first."""
    return [False] * bool(turns) + [
        turn.prompt_ids[: len(before.prompt_ids) + len(before.completion_ids)]
        == before.prompt_ids + before.completion_ids
        for before, turn in pairwise(turns)
    ]
