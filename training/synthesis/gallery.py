"""A Markdown page of example traces: `python -m video_star.training.synthesis.gallery TRACES PAGE.md`.

The examples are chosen to be as diverse as possible in label, tools called, number of sub-actions and failures.
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

from ...evals.suites import run
from ...graph.records.content import content_text, image_urls
from ...graph.records.trace import FILE, read
from ...tools.execution.media_store import MediaStore
from ...tools.output_files import (
    MARK,
    check_different,
    check_output,
    check_replaced_folder,
    replacing,
    replacing_folder,
)
from .dataset_card import summarize

Record = Mapping[str, Any]
HEIGHT: Final = 112
"""Height of an image in a strip, in pixels."""
MAX_IMAGES: Final = 8
LONGEST: Final = 1500
"""Longest tool text shown, in characters."""


def diverse(traces: Path, count: int) -> list[Record]:
    """`count` diverse traces: each adds the rarest properties that the ones before lack."""
    properties = [{(name, value) for name, value in _properties(record).items()} for record in read(traces)]
    common = Counter(item for one in properties for item in one)
    selected: list[int] = []
    seen: set[tuple[str, Any]] = set()
    while len(selected) < min(count, len(properties)):
        left = [number for number in range(len(properties)) if number not in selected]
        best = max(left, key=lambda number: sum(1 / common[item] ** 0.5 for item in properties[number] - seen))
        selected.append(best)
        seen |= properties[best]
    return [record for number, record in enumerate(read(traces)) if number in selected]


def page(records: Sequence[Record], store: MediaStore, out: Path) -> None:
    """Write a Markdown file, with the images in a folder of the same name beside it."""
    images = out.with_suffix("")
    parts = [f"# {len(records)} reasoning traces\n", f"<!-- {MARK} -->\n"]
    with replacing(out) as page, replacing_folder(images) as folder:
        for number, record in enumerate(records, 1):
            name = f"{number}.jpg"
            _strips(record, store).save(folder / name, quality=80)
            parts += [f"## {number}. {_plain(record['synthesis']['label'])}\n", f"![frames]({images.name}/{name})\n"]
            parts.append(f"Candidates: {_plain(', '.join(record['request']['actions']))}\n")
            parts += [text for message in record["messages"][2:] if (text := _turn(message))]
        page.write_text("\n".join(parts), encoding="utf-8")


def _properties(record: Record) -> dict[str, Any]:
    summary = summarize(record)
    return {name: summary[name] for name in ("label", "tools", "sub-actions", "failed", "recovered")}


def _turn(message: Record) -> str:
    """A turn as Markdown: the policy's in full, the others collapsed."""
    text = content_text(message["content"], image=lambda _: "[picture]")
    title = f"{message['node']}, {message.get('name') or message['role']}"
    if message.get("author") != "policy":
        shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
        return f"<details><summary>{escape(title)}</summary>\n\n<pre>{escape(shown)}</pre>\n\n</details>\n"
    calls = [_call(call["name"], call["args"]) for call in message.get("tool_calls", ())]
    quoted = [f"> {_plain(line)}  " for line in text.splitlines()]
    return "\n".join([f"**{_plain(title)}**\n", *quoted, *(f"> {line}  " for line in calls), ""])


def _call(name: str, args: Mapping[str, Any]) -> str:
    """A call on one line; `decompose` as sub-actions with their candidates."""
    listed = args.get("sub_actions", ())
    parts = [f"{item['name']}: {', '.join(item.get('candidates', ()))}" for item in listed]
    parts = parts or [f"{key}={value!r}" for key, value in args.items()]
    line = " ".join(f"{name}({'; '.join(parts)})".split())
    return f"<code>{_plain(line)}</code>"


def _plain(text: str) -> str:
    """Text with HTML and Markdown escaped."""
    return escape(text, quote=False).translate({ord(mark): f"\\{mark}" for mark in "`*_[]|"})


def _strips(record: Record, store: MediaStore) -> Image.Image:
    """One row of the frames in the question, and one of the frames annotated by tools."""
    frames = [frame["url"] for frame in record["frames"]]
    annotated = [url for url in dict.fromkeys(image_urls(record["messages"])) if url not in frames]
    rows = [_row([store.get(url) for url in _spread(urls)]) for urls in (frames, annotated) if urls]
    strip = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    for place, row in enumerate(rows):
        strip.paste(row, (0, place * HEIGHT))
    return strip


def _spread(urls: Sequence[str]) -> list[str]:
    """At most `MAX_IMAGES`, evenly spaced."""
    step = max(1.0, len(urls) / MAX_IMAGES)
    return [urls[int(place * step)] for place in range(min(MAX_IMAGES, len(urls)))]


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
    traces: Annotated[Path, typer.Argument(help="Folder written by `video-star synthesize`.")],
    out: Annotated[Path, typer.Argument(help="Markdown file to write.")],
    count: Annotated[int, typer.Option(min=1, help="Number of traces.")] = 10,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that video-star did not write.")] = False,
) -> None:
    """Write a page of example traces."""
    inputs = {"the traces": traces / FILE, "the images of the traces": traces / "media"}
    images = out.with_suffix("")
    check_output("the page", out, inputs, force=force)
    check_different("the page", out, {"the folder of its images": images})
    check_replaced_folder("the folder of images", images, inputs)
    page(diverse(traces, count), MediaStore(traces / "media"), out)
    print(out)


if __name__ == "__main__":
    run(main)
