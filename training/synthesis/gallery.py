"""Some chains as a page of Markdown to read: `python -m video_star.training.synthesis.gallery CHAINS PAGE.md`.

The ones shown are as unlike each other as can be: in their labels, in the tools they ask, in what goes wrong in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from PIL import Image

from ...graph.records.content import content_text, image_urls
from ...graph.records.trace import read
from ...tools.execution.media_store import MediaStore
from .dataset_card import sketch

Record = Mapping[str, Any]
HEIGHT: Final = 112
"""Pixels of a picture in a strip."""
IN_A_ROW: Final = 8
LONGEST: Final = 1500
"""Characters of a tool's text that are shown."""


def unlike(chains: Path, count: int) -> list[Record]:
    """`count` chains of a trace that between them show the most: each adds the rarest traits that those before lack."""
    traits = [{(name, value) for name, value in _traits(record).items()} for record in read(chains)]
    common = Counter(trait for one in traits for trait in one)
    chosen: list[int] = []
    seen: set[tuple[str, Any]] = set()
    while len(chosen) < min(count, len(traits)):
        left = [number for number in range(len(traits)) if number not in chosen]
        best = max(left, key=lambda number: sum(1 / common[trait] ** 0.5 for trait in traits[number] - seen))
        chosen.append(best)
        seen |= traits[best]
    return [record for number, record in enumerate(read(chains)) if number in chosen]


def page(records: Sequence[Record], store: MediaStore, out: Path) -> None:
    """Write chains as `out`, Markdown, with their pictures in the folder of its stem beside it."""
    pictures = out.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    parts = [f"# {len(records)} chains\n"]
    for number, record in enumerate(records, 1):
        name = pictures / f"{number}.jpg"
        _strips(record, store).save(name, quality=80)
        parts += [f"## {number}. {_plain(record['synthesis']['label'])}\n", f"![frames]({pictures.name}/{name.name})\n"]
        parts.append(f"Candidates: {_plain(', '.join(record['request']['actions']))}\n")
        parts += [text for message in record["messages"][2:] if (text := _turn(message))]
    out.write_text("\n".join(parts), encoding="utf-8")


def _traits(record: Record) -> dict[str, Any]:
    about = sketch(record)
    return {name: about[name] for name in ("label", "tools", "sub-actions", "failed", "recovered")}


def _turn(message: Record) -> str:
    """A turn as Markdown: what the policy says in full, what it is told folded away."""
    text = content_text(message["content"], image=lambda _: "[picture]")
    who = f"{message['node']}, {message.get('name') or message['role']}"
    if message.get("author") != "policy":
        shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
        return f"<details><summary>{escape(who)}</summary>\n\n<pre>{escape(shown)}</pre>\n\n</details>\n"
    calls = [_called(call["name"], call["args"]) for call in message.get("tool_calls", ())]
    said = [f"> {_plain(line)}  " for line in text.splitlines()]
    return "\n".join([f"**{_plain(who)}**\n", *said, *(f"> {line}  " for line in calls), ""])


def _called(name: str, given: Mapping[str, Any]) -> str:
    """A call on one line; that of `decompose` as sub-actions with their candidates."""
    listed = given.get("sub_actions", ())
    parts = [f"{item['name']}: {', '.join(item.get('candidates', ()))}" for item in listed]
    parts = parts or [f"{key}={value!r}" for key, value in given.items()]
    line = " ".join(f"{name}({'; '.join(parts)})".split())
    return f"<code>{_plain(line)}</code>"


def _plain(text: str) -> str:
    """Text that is neither HTML nor Markdown, whatever is in it."""
    return escape(text, quote=False).translate({ord(mark): f"\\{mark}" for mark in "`*_[]|"})


def _strips(record: Record, store: MediaStore) -> Image.Image:
    """The frames of the question in one row, and in another what tools drew."""
    asked = [frame["url"] for frame in record["frames"]]
    drawn = [url for url in dict.fromkeys(image_urls(record["messages"])) if url not in asked]
    rows = [_row([store.get(url) for url in _spread(urls)]) for urls in (asked, drawn) if urls]
    whole = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    for place, row in enumerate(rows):
        whole.paste(row, (0, place * HEIGHT))
    return whole


def _spread(urls: Sequence[str]) -> list[str]:
    """At most so many as go into a row, evenly drawn."""
    step = max(1.0, len(urls) / IN_A_ROW)
    return [urls[int(place * step)] for place in range(min(IN_A_ROW, len(urls)))]


def _row(jpegs: Sequence[bytes]) -> Image.Image:
    pictures = [Image.open(BytesIO(jpeg)) for jpeg in jpegs]
    scaled = [picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT)) for picture in pictures]
    row = Image.new("RGB", (sum(picture.width for picture in scaled), HEIGHT))
    left = 0
    for picture in scaled:
        row.paste(picture, (left, 0))
        left += picture.width
    return row


def main(
    chains: Annotated[Path, typer.Argument(help="Folder that `video-star synthesize` wrote.")],
    out: Annotated[Path, typer.Argument(help="File for the page.")],
    count: Annotated[int, typer.Option(min=1, help="How many chains.")] = 10,
) -> None:
    """Write a page of chains."""
    page(unlike(chains, count), MediaStore(chains / "media"), out)
    print(out)


if __name__ == "__main__":
    typer.run(main)
