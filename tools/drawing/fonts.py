"""Fonts for any text: Pillow's own if it has the characters, or else an installed one."""

from __future__ import annotations

import subprocess
import unicodedata
from functools import lru_cache
from typing import Final

from PIL import ImageFont

from ..printable import printable

INSTALLED: Final = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc"),
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "Arial Unicode.ttf"),
    *("segoeui.ttf", "msyh.ttc", "meiryo.ttc", "malgun.ttf", "Nirmala.ttf"),
)
"""Fonts shipped with Linux, macOS and Windows; Pillow searches their folders."""


@lru_cache(maxsize=256)
def drawable(text: str, size: float) -> tuple[str, ImageFont.FreeTypeFont]:
    r"""The text and a font that can draw it.

    Characters that the font lacks lose their accent or are escaped as `\u884c`, and so are control characters.

    Args:
        text: Any text.
        size: Font size in pixels.
    """
    text = printable(unicodedata.normalize("NFC", text))
    default = ImageFont.load_default(size)
    assert isinstance(default, ImageFont.FreeTypeFont)
    missing = {each for each in text if not _has(default, each)}
    path = _installed_with("".join(sorted(missing))) if missing else None
    font = default if path is None else ImageFont.truetype(path, size)
    return "".join(_nearest(each, font) for each in text), font


def _nearest(character: str, font: ImageFont.FreeTypeFont) -> str:
    for each in (character, unicodedata.normalize("NFKD", character)[0]):
        if _has(font, each):
            return each
    return character.encode("unicode_escape").decode()


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Whether the font has the character rather than drawing its placeholder box."""
    box, mask = font.getmask("\uffff"), font.getmask(character)
    return mask.size != box.size or bytes(mask) != bytes(box)


@lru_cache(maxsize=256)
def _installed_with(characters: str) -> str | None:
    """The font file that has the most of `characters`; None if none has any."""
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
