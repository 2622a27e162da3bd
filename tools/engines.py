"""Kept for engine modules written for 0.1; the module is `video_star.tools.vision.engines`."""

from .vision.engines import Engine as Engine
