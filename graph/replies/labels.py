"""Which candidate a text names. Only what the text states counts: nothing is guessed from likeness of words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from .json_repair import lenient_json

_LONGEST: Final = 2000
"""Characters of an answer that are read: an answer is a label, not an essay."""
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>")
_BOXED: Final = re.compile(r"\\(?:boxed|text|textbf|mathrm)\s*\{([^{}]*)\}")
_NUMBERING: Final = re.compile(r"^\W*(?:\d{1,4}|[A-Za-z])\s*[.):\]、]+\s*(?=\S)")
_LEAD: Final = re.compile(
    r"^.{0,120}?\b(?:answer|action|label|candidate|activity|choice|prediction|it)\b.{0,60}?"
    r"(?:\bis\b\s*:?|\bwould be\b|[:：=])\s*"
    r"|^.{0,40}?(?:答案|动作|行为)\s*(?:是|为|[:：])+\s*",
    re.IGNORECASE,
)
_TRAIL: Final = re.compile(
    r"\s*(?:[(\[（,，;；:：\n—–。]|\s-\s|\.\s|\bbecause\b|\bsince\b|\bwith (?:a )?(?:score|confidence)\b)"
)

_DOUBT: Final = re.compile(
    r"\b(?:not|no|never|nor|neither|cannot|t|whether|if|unless|unsure|uncertain|unknown|wrong|instead|except|without|or|maybe|perhaps)\b"
    r"|不|没|否"
)


def normal(label: str) -> str:
    """A label without what does not tell labels apart: case, spaces, underscores, hyphens, quotes at the ends."""
    return re.sub(r"[\s_\-]+", " ", label.strip(" \t\r\n\"'`*.").casefold()).strip()


def words(text: str) -> str:
    """Only the letters and digits of a text, in lower case, its words parted by single spaces."""
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


def match_label(text: str, actions: Iterable[str]) -> str | None:
    """The candidate that `text` names, or None."""
    exact, loose = _index(tuple(actions))
    return exact.get(normal(text)) or loose.get(words(text))


def stated_label(text: str, actions: Iterable[str]) -> str | None:
    """The one candidate that an answer states, also numbered, boxed, in a phrase or with an explanation; None if none.

    Where the words around the label deny it or name another candidate too, the answer states none.
    """
    known = tuple(actions)
    text = text.strip()[:_LONGEST]
    for form in _forms(text):
        if label := match_label(form, known):
            return label
    for form in _forms(text):
        for start in dict.fromkeys((form, _LEAD.sub("", form, count=1))):
            cut = _TRAIL.search(start)
            core = start[: cut.start()] if cut else start
            label = match_label(core, known) or match_label(_NUMBERING.sub("", core), known)
            if label and not _doubted(form, label, known):
                return label
    return None


def _forms(text: str) -> list[str]:
    """The text, and what it says once markup, numbering or JSON around it are taken off."""
    bare = _TAG.sub("", text).strip()
    forms = [text, bare, _NUMBERING.sub("", bare)]
    forms += _BOXED.findall(bare)
    if bare[:1] in ("{", "[", "`"):
        try:
            value = lenient_json(bare)
        except ValueError:
            value = None
        held = list(value.values()) if isinstance(value, dict) else value
        if isinstance(held, list) and len(held) == 1 and isinstance(held[0], str):
            forms.append(held[0])
    return list(dict.fromkeys(form.strip() for form in forms if form.strip()))


def _doubted(text: str, label: str, actions: tuple[str, ...]) -> bool:
    """Whether the words around `label` deny it, leave it open, or name another candidate."""
    around = f" {words(text)} ".replace(f" {words(label)} ", "  ")
    if _DOUBT.search(around):
        return True
    return any(f" {named} " in around for action in actions if action != label and (named := words(action)))


@lru_cache(maxsize=64)
def _index(actions: tuple[str, ...]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The candidates by their normal form, and by their words where those are one candidate's alone."""
    exact = {normal(action): action for action in reversed(actions)}
    shared = Counter(words(action) for action in actions)
    return exact, {said: action for action in actions if (said := words(action)) and shared[said] == 1}
