"""JSON on one marked line of a tool's text: what rules read back; everything around it is prose for language models.

JSON escapes line breaks, so no string within a value, such as a user's label, can start a line of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_LINE_BREAKS: Final = re.compile("[\x1c-\x1e\x85\u2028\u2029]")
"""Line breaks that JSON leaves as they are."""


def marked_json(name: str, value: Any) -> str:
    """The line `NAME (JSON): value`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"{name} (JSON): {_LINE_BREAKS.sub(' ', text)}"


def find_marked_json(name: str, text: str) -> Iterator[Any]:
    """The values of all lines of that name; lines that are not JSON are skipped."""
    for line in re.findall(rf"^{re.escape(name)} \(JSON\): (.*)$", text, re.MULTILINE):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue
