"""The motion primitives that actions are composed of, by name."""

from . import gestures, handling
from .steps import PRIMITIVES, Primitive, Step

__all__ = ["PRIMITIVES", "Primitive", "Step", "gestures", "handling"]
