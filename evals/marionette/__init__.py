"""Marionette: a generator of short clips of animated people whose actions are compositions of motion primitives."""

from .actions import ACTIONS, Action, oracle
from .clip_renderer import Film, film

__all__ = ["ACTIONS", "Action", "Film", "film", "oracle"]
