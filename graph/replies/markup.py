"""Labels with markup in them, such as `<|im_end|>`: in a reply they are data, not the end of a turn or a section."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final

from ..candidates import Candidates
from ..control_tokens import escaped

_FIRST: Final = 0xF0000
"""First character of the private area that stands for labels: it occurs in no text and is no word."""
_PROTOCOL: Final = re.compile(r"<\s*/?\s*(?:think(?:ing)?|scores?|(?:final_)?answer)\b", re.IGNORECASE)


def masked(text: str, candidates: Candidates) -> tuple[str, Candidates]:
    """The text with each label that contains `<` replaced by one character, and a lookup that knows it.

    After the closing tag of the answer nothing is replaced: there, a token such as `<|im_end|>` ends the turn. A label
    that is a tag of the protocol is replaced only in quotes or as the whole answer.
    """
    anywhere: dict[str, str] = {}
    enclosed: dict[str, str] = {}
    for k, label in enumerate(candidates.labels):
        if "<" in label:
            # Control tokens are sent escaped, and JSON escapes quotes and line breaks.
            plain = (label, escaped(label))
            forms = {*plain, *(json.dumps(form, ensure_ascii=ascii)[1:-1] for form in plain for ascii in (True, False))}
            (enclosed if _PROTOCOL.search(label) else anywhere).update(dict.fromkeys(forms, chr(_FIRST + k)))
    if not anywhere and not enclosed:
        return text, candidates
    if enclosed:
        labels = _any_of(enclosed)
        within = rf'(?<=")({labels})(?=")|(?<=<answer>)({labels})(?=</answer>)'
        text = re.sub(within, lambda found: enclosed[found[1] or found[2]], text)
    if anywhere:
        pattern = rf"(</(?:final_)?answer>\s*)?({_any_of(anywhere)})"
        text = re.sub(pattern, lambda found: found[0] if found[1] else anywhere[found[2]], text)
    known = {chr(_FIRST + k): label for k, label in enumerate(candidates.labels)}
    return text, replace(candidates, by_form={**candidates.by_form, **known})


def unmasked(text: str, candidates: Candidates) -> str:
    """The text with the labels in place of the characters that stand for them."""
    return text.translate({_FIRST + k: label for k, label in enumerate(candidates.labels)})


def _any_of(forms: dict[str, str]) -> str:
    return "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
