"""Overlays drawn on copies of the frames."""
