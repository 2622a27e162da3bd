"""Movement over time: `measure` measures motion primitives, `result` holds what was measured as typed values.

What people do is measured from their poses; what objects and the camera do, from points tracked through the frames.
"""
