"""All motion primitives, by name; importing the two modules registers them."""

from . import gestures, handling
from .steps import PRIMITIVES, Primitive, Step

__all__ = ["PRIMITIVES", "Primitive", "Step", "gestures", "handling"]
