"""Captions around frames."""

from itertools import product
from typing import Any

import numpy as np

from video_star.tools.drawing.banner import BACKGROUND, BEST, Banner

SCENE = np.full((300, 400, 3), 200, np.uint8)


def test_any_text_and_size_leave_the_frame_uncovered() -> None:
    texts = ("", "hug", "étreinte 拥抱 🤗\nnew line", "word " * 200, "x" * 500, "\u202eהליכה \x1b[31m")
    for shape, text in product([(24, 32), (240, 320), (1080, 720)], texts):
        scene = np.full((*shape, 3), 201, np.uint8)
        bars = [(text, 0.7), ("b" * 300, 1.5), ("none", float("nan"))]
        drawn = Banner(text, bars, 2).annotate(scene, text[:20], [text] * 5)
        assert drawn.shape[0] > scene.shape[0] and drawn.shape[1] == scene.shape[1]
        assert (drawn == 201).all(axis=(1, 2)).sum() == scene.shape[0]


def test_bars_are_as_long_as_their_scores() -> None:
    drawn = Banner("", [("", 0.5), ("", 0.25), ("", 0.0)]).annotate(SCENE)
    assert abs((drawn == np.array(BEST)).all(axis=2).sum(axis=1).max() - 200) < 4


def test_the_size_does_not_depend_on_what_happens() -> None:
    banner = Banner("walk", lines=2)
    shapes = {banner.annotate(SCENE, time, now).shape for time, now in (("", ()), ("1.00 s", ["a"]), ("", ["a"] * 9))}
    assert len(shapes) == 1
    assert Banner("walk").annotate(SCENE).shape[0] < shapes.pop()[0]


def test_time_and_happening_are_drawn_above_the_frame() -> None:
    banner = Banner("walk", lines=1)
    plain = banner.annotate(SCENE)
    changed = {key: (banner.annotate(SCENE, **given) != plain).any(axis=2) for key, given in CHANGES.items()}
    height = plain.shape[0] - SCENE.shape[0]
    for key, rows in (("time", slice(0, height // 2)), ("happening", slice(height // 2, height))):
        assert changed[key][rows].any() and not np.delete(changed[key], np.r_[rows], axis=0).any()
    # The title stands at the left, the time at the right.
    assert not changed["time"][:, :200].any()


CHANGES: dict[str, dict[str, Any]] = {"time": {"time": "1.25 s"}, "happening": {"happening": ["takes steps"]}}


def test_long_texts_never_run_into_the_time() -> None:
    banner = Banner("walk " * 100)
    changed = (banner.annotate(SCENE, "12.50 s") != Banner("").annotate(SCENE, "12.50 s")).any(axis=(0, 2))
    assert (banner.annotate(SCENE)[:20, 394:] == np.array(BACKGROUND)).all()
    assert changed[:200].any() and not changed[330:].any()
