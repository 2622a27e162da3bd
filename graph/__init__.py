"""The state machine around the policy: `graph` is compiled and ready, `build_graph` gives the builder."""

from .builder import build_graph
from .records.result import Recognition
from .run import arecognize, recognize
from .state import Context, Input, Output

graph = build_graph().compile(name="video_star")

__all__ = ["Context", "Input", "Output", "Recognition", "arecognize", "build_graph", "graph", "recognize"]
