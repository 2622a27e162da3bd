"""The state machine around the policy: `graph` is compiled with default settings, `build_graph` makes your own."""

from .builder import build_graph, graph
from .records.result import Recognition
from .run import arecognize, recognize
from .state import Context, Input, Output

__all__ = ["Context", "Input", "Output", "Recognition", "arecognize", "build_graph", "graph", "recognize"]
