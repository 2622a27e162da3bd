"""Overlays: what was found, drawn on copies of the frames."""
