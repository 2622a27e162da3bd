"""All motion primitives, by name; importing the two modules registers them."""

from . import gestures, handling
from .primitive_base import PRIMITIVES, Primitive, Step

__all__ = ["PRIMITIVES", "Primitive", "Step", "gestures", "handling"]
