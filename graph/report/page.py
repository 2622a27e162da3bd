"""The page of one run: a single HTML file without scripts, network access or other files.

All text of a record is untrusted, labels typed by a user as well as text of a model: every value is autoescaped by
Jinja2, control characters are shown as escape sequences, no URL of a record becomes a link or a source, and only
numbers computed here reach a style or an id. The `Content-Security-Policy` of the page forbids scripts and all URLs
except `data:`.

Each distinct image is in the file once, as the background of a CSS class, however often it is shown.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...tools.output_files import MARK
from ...tools.printable import printable
from ...tools.registry import watches
from ..records.content import content_blocks
from ..rendering import OVERLAYS
from .reason import reason

if TYPE_CHECKING:
    from jinja2 import Environment

Record = Mapping[str, Any]

FIRST_ACTIONS: Final = 5
"""Rows of the ranking on the first screen; the rest is folded."""
FIRST_FRAMES: Final = 6
"""Frames on the first screen, where there is no video."""
FIRST_NOTES: Final = 2
"""Notes on the first screen; the rest is folded."""
TOP_ACTIONS: Final = 20
"""Columns of the heat map; the rest is omitted."""
LONG_TEXT: Final = 1200
"""Longer texts, in characters, are folded."""
LONG_ERROR: Final = 400
"""Characters of an error on the first screen; a longer one is folded."""
LONG_NOTE: Final = 200
"""The same for a note."""
_AUTHORS: Final = {"policy": "model", "graph": "system"}
"""Who wrote a message, as the page calls them."""
MISSING: Final = "–"
"""Shown for a number that is not in the record."""
EMBEDDED_POLICY: Final = "kinematic"
"""The policy that reads text alone."""


def render_page(record: Mapping[str, Any], media: Callable[[str], bytes], video: bytes | None = None) -> str:
    """The page of one run as a string that encodes as UTF-8.

    Its first screen has the answer, the annotated video or frames, the scores, and the reason in one sentence; all else
    is folded below.

    Args:
        record: The JSON record of the run, of any schema version. Any field may be None or empty, and all except
            `schema` and `id` may be missing.
        media: Returns the JPEG bytes of a `media://<name>` URL. The page shows a placeholder if it raises KeyError,
            OSError or ValueError, or if the bytes are not a JPEG.
        video: The annotated video as mp4; without it, the first screen has frames.

    Example:
        >>> page = render_page({"schema": 1, "id": "5f0c"}, {}.__getitem__)
        >>> "No answer" in page
        True
    """
    request, recognition = record.get("request") or {}, record.get("recognition") or {}
    answer = recognition.get("action")
    evidence = [_without_unwatched(item) for item in _items(recognition, "evidence")]
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            record=record,
            request=request,
            recognition=recognition,
            video=record.get("video") or {},
            usage=recognition.get("usage") or {},
            images=_images(record, evidence, media),
            answer=answer,
            confidence=_number(recognition.get("confidence")),
            reason=reason(recognition),
            film=b64encode(video).decode("ascii") if video else "",
            lead=_lead(record, evidence),
            evidence=evidence,
            reads_frames=(request.get("context") or {}).get("policy") != EMBEDDED_POLICY,
            ranking=_ranking(_items(recognition, "ranking"), answer),
            heat=_heat_map(_items(recognition, "sub_actions"), answer),
            conversation=_conversation(_items(record, "messages")),
            waterfall=_waterfall(_items(record, "timings")),
        )
    )
    # JSON may have lone surrogates, which UTF-8 cannot encode.
    return printable(page).encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        decimals=_decimals, seconds=_seconds, pretty=_pretty, when=_when, plain=_plain, items_of=_items
    )
    environment.globals |= {"mark": MARK} | {
        name: globals()[name] for name in ("LONG_TEXT", "FIRST_ACTIONS", "FIRST_NOTES", "LONG_ERROR", "LONG_NOTE")
    }
    return environment


@dataclass(frozen=True)
class _Image:
    """One distinct image of the run."""

    number: int
    """From 1, in the order of the page."""
    caption: str
    """What it shows and when; also its alternative text."""
    jpeg: str = ""
    """Base64; empty if the image is missing."""
    ratio: float = 4 / 3
    """Width over height."""


def _images(record: Record, evidence: Sequence[Record], media: Callable[[str], bytes]) -> dict[str, _Image]:
    """Every image of the record by its URL, with the caption of its first occurrence."""
    images: dict[str, _Image] = {}
    for url, caption in _captions(record, evidence):
        if url not in images:
            images[url] = _image(len(images) + 1, url, caption, media)
    return images


def _captions(record: Record, evidence: Sequence[Record]) -> Iterator[tuple[str, str]]:
    for number, frame in enumerate(_items(record, "frames"), 1):
        yield _url(frame), f"Frame {number} at {_seconds(frame.get('time'))}"
    for item in evidence:
        for frame in _items(item, "frames"):
            yield _url(frame), f"{item.get('tool')} at {_seconds(frame.get('time'))}"
    for message in _items(record, "messages"):
        for part in content_blocks(message.get("content")):
            if part.get("type") == "image":
                yield _url(part), f"Image in {message.get('node')}"


def _image(number: int, url: str, caption: str, media: Callable[[str], bytes]) -> _Image:
    from PIL import Image

    if not url.startswith("media://"):
        return _Image(number, caption)
    try:
        jpeg = media(url)
        with Image.open(BytesIO(jpeg), formats=("JPEG",)) as image:
            ratio = image.width / image.height
    except (KeyError, OSError, ValueError):
        return _Image(number, caption)
    return _Image(number, caption, b64encode(jpeg).decode("ascii"), ratio)


@dataclass(frozen=True)
class _Lead:
    """Frames for the first screen."""

    source: str
    """The tool that looked at them; empty for the frames of the request to the model."""
    frames: list[Record]


def _lead(record: Record, evidence: Sequence[Record]) -> _Lead:
    """Up to `FIRST_FRAMES` evenly spaced frames: with overlays, or as a tool picked them, or as they were sent."""
    items = [item for item in evidence if _items(item, "frames")]
    items.sort(key=lambda item: OVERLAYS.index(item["tool"]) if item.get("tool") in OVERLAYS else len(OVERLAYS))
    frames = _items(items[0], "frames") if items else _items(record, "frames")
    count = min(FIRST_FRAMES, len(frames))
    shown = [frames[k * (len(frames) - 1) // max(count - 1, 1)] for k in range(count)]
    return _Lead(str(items[0].get("tool")) if items else "", shown)


def _without_unwatched(item: Record) -> Record:
    """The evidence item; without span and frames if its tool did not look at the video, or failed."""
    if watches(str(item.get("tool"))) and item.get("status") == "ok":
        return item
    return {**item, "start": None, "end": None, "frames": []}


@dataclass(frozen=True)
class _Bar:
    """One row of a bar chart; `left` and `width` are in percent of the chart."""

    label: str
    value: float | None
    width: float
    left: float = 0.0
    is_answer: bool = False


def _ranking(ranking: Sequence[Record], answer: str | None) -> list[_Bar]:
    scores = [_number(entry.get("score")) for entry in ranking]
    full = max([1.0, *(score for score in scores if score is not None)])
    return [
        _Bar(str(action), score, 100 * max(score or 0.0, 0.0) / full, is_answer=action == answer)
        for action, score in zip((entry.get("action") for entry in ranking), scores, strict=True)
    ]


def _waterfall(timings: Sequence[Record]) -> list[_Bar]:
    spans = [(_number(entry.get("start")) or 0.0, _number(entry.get("seconds")) or 0.0) for entry in timings]
    full = max((start + seconds for start, seconds in spans), default=0.0) or 1.0
    return [
        _Bar(str(entry.get("node")), seconds, 100 * seconds / full, 100 * start / full)
        for entry, (start, seconds) in zip(timings, spans, strict=True)
    ]


@dataclass(frozen=True)
class _HeatMap:
    """Scores of sub-actions (rows) for candidates (columns)."""

    columns: list[str]
    """At most `TOP_ACTIONS` candidates, best weighted total first."""
    hidden: int
    """Number of candidates omitted."""
    rows: list[tuple[Record, list[float | None]]]
    """Each sub-action with its scores in [0, 10], one per column; None if not scored."""
    totals: list[float] | None
    """Sum of weight x score of each column; None if a weight is missing."""
    best: float
    """The maximum total: 10 x the sum of the weights."""
    answer: int | None
    """Column of the answer."""


def _heat_map(sub_actions: Sequence[Record], answer: str | None) -> _HeatMap:
    ordered = sorted(sub_actions, key=lambda sub_action: _number(sub_action.get("rank")) or math.inf)
    scores = [{k: _number(v) for k, v in (sub_action.get("scores") or {}).items()} for sub_action in ordered]
    weights = [_number(sub_action.get("weight")) for sub_action in ordered]
    totals: dict[str, float] = {}
    for weight, row in zip(weights, scores, strict=True):
        for action, score in row.items():
            if score is not None:
                totals[action] = totals.get(action, 0.0) + (weight or 0.0) * score
    by_total = sorted(totals, key=lambda action: -totals[action])
    columns = by_total[:TOP_ACTIONS]
    return _HeatMap(
        columns=columns,
        hidden=len(by_total) - len(columns),
        rows=[(part, [row.get(column) for column in columns]) for part, row in zip(ordered, scores, strict=True)],
        totals=None if None in weights else [totals[column] for column in columns],
        best=10 * sum(weight or 0.0 for weight in weights),
        answer=columns.index(answer) if answer in columns else None,
    )


@dataclass(frozen=True)
class _Turn:
    """One message of the conversation."""

    role: str
    author: str
    """"model" or "system"."""
    name: str | None
    """The tool, in its result."""
    blocks: list[str | list[str]]
    """In order: a text, or the URLs of consecutive images."""
    calls: list[Record]
    """Tool calls, each with `name` and `args`."""


def _conversation(messages: Sequence[Record]) -> list[tuple[str, list[_Turn]]]:
    """The turns, grouped by consecutive turns of one node."""
    visits = groupby(messages, key=lambda message: str(message.get("node")))
    return [(node, [_turn(message) for message in visit]) for node, visit in visits]


def _turn(message: Record) -> _Turn:
    blocks: list[str | list[str]] = []
    for part in content_blocks(message.get("content")):
        if part.get("type") != "image":
            blocks.append(str(part.get("text")) if part.get("type") == "text" else _pretty(part))
        elif blocks and isinstance(blocks[-1], list):
            blocks[-1].append(_url(part))
        else:
            blocks.append([_url(part)])
    return _Turn(
        role=str(message.get("role")),
        author=_AUTHORS.get(str(message.get("author")), "unknown"),
        name=message.get("name"),
        blocks=blocks,
        calls=_items(message, "tool_calls"),
    )


def _url(image: Record) -> str:
    return str(image.get("url") or "")


def _items(mapping: Record, key: str) -> list[Record]:
    return mapping.get(key) or []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _decimals(value: object, digits: int = 2) -> str:
    number = _number(value)
    return MISSING if number is None else f"{number:,.{digits}f}"


def _seconds(value: object) -> str:
    text = _decimals(value)
    return text if text == MISSING else f"{text}\u00a0s"


def _plain(value: object) -> str:
    """A setting in plain notation."""
    if isinstance(value, float):
        return f"{value:g}"
    if not value and not isinstance(value, int):
        return MISSING
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return _pretty(value) if isinstance(value, Mapping) else str(value)


def _pretty(value: object) -> str:
    """JSON on one line if short, else indented."""
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= 72 else json.dumps(value, ensure_ascii=False, indent=2)


def _when(stamp: object) -> str:
    """An ISO 8601 time to the minute, in UTC; other text unchanged."""
    try:
        return f"{datetime.fromisoformat(str(stamp)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return str(stamp)
