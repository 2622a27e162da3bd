"""Text of strangers, safe to show: control characters as escape sequences."""

from __future__ import annotations

import re
from typing import Final

CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and line feed, separators of lines, and marks that reverse the order of text."""


def printable(text: str) -> str:
    r"""The text with each control character written as its escape sequence, such as \x1b."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
