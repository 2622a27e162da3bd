"""Fonts to draw any text with: Pillow's own where it has the letters, else one that is installed."""

from __future__ import annotations

import subprocess
import unicodedata
from functools import lru_cache
from typing import Final

from PIL import ImageFont

INSTALLED: Final = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc"),
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "Arial Unicode.ttf"),
    *("segoeui.ttf", "msyh.ttc", "meiryo.ttc", "malgun.ttf", "Nirmala.ttf"),
)
"""What Linux, macOS and Windows come with; Pillow knows their folders."""


def drawable(text: str, size: float) -> tuple[str, ImageFont.FreeTypeFont]:
    r"""The text in letters that the font beside it has; others lose their accent, or are written as `\u884c`.

    Args:
        text: Any text.
        size: Of the font, in pixels.
    """
    text = unicodedata.normalize("NFC", text)
    own = ImageFont.load_default(size)
    assert isinstance(own, ImageFont.FreeTypeFont)
    lacking = {each for each in text if not _has(own, each)}
    path = _installed_with("".join(sorted(lacking))) if lacking else None
    font = own if path is None else ImageFont.truetype(path, size)
    return "".join(_nearest(each, font) for each in text), font


def _nearest(character: str, font: ImageFont.FreeTypeFont) -> str:
    for each in (character, unicodedata.normalize("NFKD", character)[0]):
        if _has(font, each):
            return each
    return character.encode("unicode_escape").decode()


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Whether the font draws more for it than the box that stands for what it lacks."""
    missing, mask = font.getmask("\uffff"), font.getmask(character)
    return mask.size != missing.size or bytes(mask) != bytes(missing)


@lru_cache(maxsize=256)
def _installed_with(characters: str) -> str | None:
    """The font file that has the most of `characters`; None where none has any."""
    best, most = None, 0
    for name in (*_by_fontconfig(characters), *INSTALLED):
        try:
            font = ImageFont.truetype(name, 20)
        except OSError:
            continue
        count = sum(_has(font, each) for each in characters)
        if count > most:
            best, most = str(font.path), count
        if most == len(characters):
            break
    return best


def _by_fontconfig(characters: str) -> list[str]:
    wanted = " ".join(f"{ord(each):x}" for each in characters)
    try:
        found = subprocess.run(
            ["fc-match", "-f", "%{file}", f"sans:charset={wanted}"], capture_output=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [found.stdout.decode(errors="surrogateescape")]
