"""The candidate that an answer states. Only an explicit statement counts: nothing is guessed from similar words."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Final

from ..candidates import MAX_LENGTH, Candidates, normalize_words
from .json_repair import repair_json

_MAX_CHARACTERS: Final = 2000
"""Characters of an answer that are read: an answer is a label, not an essay."""
_MAX_CUTS: Final = 60
"""Places of an answer that are tried as the end of its label."""
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

_SEPARATOR: Final = re.compile(r"([,;/|]|\bor\b|\band\b)")
_LONGEST_LABEL: Final = 19
"""Parts and separators between them that one label may have."""
_DOUBT: Final = re.compile(
    r"\b(?:not|no|never|nor|neither|cannot|t|whether|if|unless|unsure|uncertain|unknown|wrong|instead|except|without|or|maybe|perhaps)\b"
    r"|不|没|否"
)


def stated_label(text: str, candidates: Candidates) -> str | None:
    """The one candidate that an answer states, also if numbered, boxed, in a phrase or with an explanation; else None.

    If the words around the label deny it or name another candidate as well, the answer states none.
    """
    text = text.strip()[:_MAX_CHARACTERS]
    variants = _variants(text)
    for variant in variants:
        if label := candidates.match(variant):
            return label
    for variant in variants:
        for start in dict.fromkeys((variant, _LEAD.sub("", variant, count=1))):
            label = _leading(start, candidates) or _leading(_NUMBERING.sub("", start), candidates)
            if label and not _is_doubtful(variant, label, candidates):
                return label
    return _mentioned(variants[0], candidates) if variants else None


def _mentioned(text: str, candidates: Candidates) -> str | None:
    """The one candidate that a sentence names, in whatever place; None if it names several, or denies it.

    Of candidates that overlap in the text the longest counts: `opening bottle (not wine)`, not `opening bottle`.
    """
    words = normalize_words(text).split()
    longest = min(len(words), max((label.count(" ") + 1 for label in candidates.by_words), default=0))
    found: dict[str, None] = {}
    around, at = list[str](), 0
    while at < len(words):
        ends = range(min(len(words), at + longest), at, -1)
        end = next((end for end in ends if " ".join(words[at:end]) in candidates.by_words), None)
        if end is None:
            around.append(words[at])
            at += 1
        else:
            found[candidates.by_words[" ".join(words[at:end])]] = None
            at = end
    return next(iter(found)) if len(found) == 1 and not _DOUBT.search(" ".join(around)) else None


def _leading(text: str, candidates: Candidates) -> str | None:
    """The longest candidate that a text begins with, alone or before an explanation."""
    cuts = [match.start() for match in islice(_TRAIL.finditer(text[: 2 * MAX_LENGTH]), _MAX_CUTS)]
    ends = (*([len(text)] if len(text) <= 2 * MAX_LENGTH else []), *reversed(cuts))
    return next((label for end in ends if (label := candidates.match(text[:end]))), None)


def _variants(text: str) -> list[str]:
    """The text, and the text without the markup, numbering or JSON around it."""
    bare = _TAG.sub("", text).strip()
    found = [text, bare, _NUMBERING.sub("", bare)]
    found += _BOXED.findall(bare)
    if bare[:1] in ("{", "[", "`"):
        try:
            value = repair_json(bare)
        except ValueError:
            value = None
        items = list(value.values()) if isinstance(value, dict) else value
        if isinstance(items, list) and len(items) == 1 and isinstance(items[0], str):
            found.append(items[0])
    return list(dict.fromkeys(variant.strip() for variant in found if variant.strip()))


def _is_doubtful(text: str, label: str, candidates: Candidates) -> bool:
    """Whether the words around `label` deny it, leave it open, or name another candidate."""
    around = f" {normalize_words(text)} ".replace(f" {normalize_words(label)} ", "  ")
    if _DOUBT.search(around):
        return True
    return any(
        words and other != label and f" {words} " in around
        for other, words in zip(candidates.labels, candidates.words, strict=True)
    )


def label_texts(names: Any, candidates: Candidates) -> list[str]:
    """The texts that may each name a candidate, of a string or a list; a string is split around the longest labels."""
    if isinstance(names, str):
        return _split(names[:1000], candidates)
    if not isinstance(names, list):
        return []
    items = [next(iter(item.values()), None) if isinstance(item, dict) else item for item in names]
    return [text for text in items if isinstance(text, str)]


def _split(text: str, candidates: Candidates) -> list[str]:
    if candidates.match(text):
        return [text]
    parts, at = _SEPARATOR.split(text), 0
    found: list[str] = []
    while at < len(parts):
        ends = range(min(len(parts), at + _LONGEST_LABEL), at, -2)
        end = next((end for end in ends if candidates.match("".join(parts[at:end]))), at + 1)
        found.append("".join(parts[at:end]))
        at = end + 1
    return found
