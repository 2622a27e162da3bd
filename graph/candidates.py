"""The candidate actions of a run: their validation, and the lookup of the one that a text names.

The state holds the labels as a list of strings; `Candidates` is the lookup over them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ..tools.errors import BadActions

MAX_ACTIONS: Final = 2000
MAX_LENGTH: Final = 300


def normalize_label(label: str) -> str:
    """The label without the differences that do not matter: case, runs of space, underscore and hyphen, outer quotes.

    Nor does space after an opening bracket, by which control tokens are escaped (see `control_tokens`). Two labels are
    the same candidate exactly if their normalized forms are equal.
    """
    spaced = re.sub(r"[\s_\-]+", " ", label.strip(" \t\r\n\"'`*.").casefold()).strip()
    return re.sub(r"(?<=[<\[]) ", "", spaced)


def normalize_words(text: str) -> str:
    """The words of a text (letters and digits, NFKC, case-folded), separated by single spaces."""
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


@dataclass(frozen=True)
class Candidates:
    """The labels of a run with a lookup whose cost does not depend on their number. Made by `Candidates.of`."""

    labels: tuple[str, ...]
    """As the user wrote them, in the user's order."""
    words: tuple[str, ...]
    """`normalize_words` of each label; empty for a label without letters or digits."""
    by_form: Mapping[str, str]
    """Normalized form to label."""
    by_words: Mapping[str, str]
    """Words to label, only where no other label has the same words."""

    @classmethod
    def of(cls, labels: Sequence[str]) -> Candidates:
        """The lookup over `labels`; the same object for the same labels, as the nodes of one run ask for it."""
        return _candidates(tuple(labels))

    def match(self, text: str) -> str | None:
        """The label that `text` consists of, or None. Only spelling may differ; similar words are not a match."""
        return self.by_form.get(normalize_label(text)) or self.by_words.get(normalize_words(text))


@lru_cache(maxsize=64)
def _candidates(labels: tuple[str, ...]) -> Candidates:
    words = tuple(normalize_words(label) for label in labels)
    shared = Counter(words)
    return Candidates(
        labels,
        words,
        {normalize_label(label): label for label in reversed(labels)},
        {form: label for form, label in zip(words, labels, strict=True) if form and shared[form] == 1},
    )


_GIVE_LIST: Final = 'give a list such as ["hug", "handshake"]'


def checked_actions(actions: Any) -> list[str]:
    """The candidates without leading and trailing whitespace.

    Raises:
        BadActions: They are no list, or one longer than `MAX_ACTIONS`, or a label is not a string, is empty, is longer
            than `MAX_LENGTH` characters, or equals another but for case, spaces, underscores and hyphens.
    """
    if isinstance(actions, str) and actions.strip():
        raise BadActions(f"the candidate actions are one text, {actions[:60]!r}; {_GIVE_LIST}")
    if actions is None or actions == "":
        raise BadActions(f"no candidate actions; {_GIVE_LIST}")
    if isinstance(actions, Mapping | bytes) or not isinstance(actions, Iterable):
        raise BadActions(f"the candidate actions are of the type {type(actions).__name__}; {_GIVE_LIST}")
    actions = list(actions)
    if not actions:
        raise BadActions(f"no candidate actions; {_GIVE_LIST}")
    if len(actions) > MAX_ACTIONS:
        raise BadActions(f"{len(actions)} candidate actions; give at most {MAX_ACTIONS}")
    seen: dict[str, str] = {}
    for action in actions:
        if not isinstance(action, str):
            raise BadActions(f"candidate action {str(action)[:60]!r} is not text; give strings")
        form = normalize_label(action)
        if not form:
            raise BadActions(f"candidate action {action[:60]!r} is empty; remove it")
        if len(action) > MAX_LENGTH:
            raise BadActions(
                f"candidate action {action[:40]!r}... has {len(action)} characters; use at most {MAX_LENGTH}"
            )
        if (same := seen.get(form)) is not None:
            raise BadActions(f"candidate actions {same!r} and {action.strip()!r} are the same; give each once")
        seen[form] = action.strip()
    return list(seen.values())
