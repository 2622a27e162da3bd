"""A contact sheet of all actions, with a label and a row of frames each.

Run as `python -m video_star.evals.marionette.contact_sheet SHEET.png`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ...tools.output_files import MARK, check_output, replacing
from ..suites import run
from .actions import ACTIONS
from .clip_renderer import Film, film

FRAMES: Final = 6
SIDE: Final = 112
"""Side of one frame in pixels."""
GAP: Final = 3
"""Pixels between frames."""
LABEL: Final = 108
"""Width of the label of a row in pixels."""
COLUMNS: Final = 2
COLOURS: Final = 256
"""Size of the palette, which keeps the file under 1.5 MB."""


def write_contact_sheet(path: Path, seed: int = 0) -> None:
    """Write a PNG with one clip of each action, base classes first, the left column before the right."""
    rows = -(-len(ACTIONS) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (LABEL + FRAMES * SIDE + 8), rows * (SIDE + 2)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for place, (label, action) in enumerate(ACTIONS.items()):
        left, top = place // rows * (LABEL + FRAMES * SIDE + 8), place % rows * (SIDE + 2)
        pen.multiline_text((left + 4, top + 4), _wrapped(label), "black", font)
        pen.text((left + 4, top + SIDE - 18), action.split, "gray", ImageFont.load_default(11))
        for k, picture in enumerate(_thumbnails(film(label, seed))):
            page.paste(picture, (left + LABEL + k * SIDE, top))
    flat = page.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    about = PngInfo()
    about.add_text("Software", MARK)
    with replacing(path) as part:
        flat.save(part, "PNG", optimize=True, pnginfo=about)


def _thumbnails(clip: Film) -> list[Image.Image]:
    """Frames from the start of the first primitive to the end of the last, cropped to the people and objects."""
    height, width = clip.frames.shape[1:3]
    begin = min(start for _, _, start, _ in clip.primitives)
    end = max(end for _, _, _, end in clip.primitives)
    indices = np.clip(np.round(np.linspace(begin, end, FRAMES) * clip.fps).astype(int), 0, len(clip.frames) - 1)
    seen = np.concatenate([clip.boxes.reshape(-1, 4), *clip.objects.values()])
    low, high = np.nanmin(seen[:, :2], 0), np.nanmax(seen[:, 2:], 0)
    around = 0.08 * (high - low).max()
    low, high = np.maximum(low - around, 0), np.minimum(high + around, (width, height))
    size = np.maximum(1, np.round((high - low) * ((SIDE - GAP) / (high - low).max())).astype(int))
    pictures = []
    for k in indices:
        cut = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        part = Image.fromarray(clip.frames[k]).resize((int(size[0]), int(size[1])), Image.Resampling.LANCZOS, cut)
        picture = Image.new("RGB", (SIDE, SIDE), "white")
        picture.paste(part, ((SIDE - part.width) // 2, (SIDE - part.height) // 2))
        pictures.append(picture)
    return pictures


def _wrapped(label: str) -> str:
    lines = [""]
    for word in label.split():
        if len(lines[-1]) + len(word) > 12:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(line for line in lines if line)


def main(
    path: Annotated[Path, typer.Argument(help="PNG to write.")],
    seed: int = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that video-star did not write.")] = False,
) -> None:
    """Write the contact sheet."""
    check_output("the sheet", path, {}, force=force)
    write_contact_sheet(path, seed)


if __name__ == "__main__":
    run(main)
