"""The state machine around the policy: `graph` is compiled with default settings, `build_graph` makes your own.

The names below load when first used: most commands need the policies or the records without the state machine.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builder import build_graph, graph
    from .records.result import Recognition
    from .run import arecognize, recognize
    from .state import Context, Input, Output

_HOMES = {
    "Context": ".state",
    "Input": ".state",
    "Output": ".state",
    "Recognition": ".records.result",
    "arecognize": ".run",
    "build_graph": ".builder",
    "graph": ".builder",
    "recognize": ".run",
}
__all__ = ["Context", "Input", "Output", "Recognition", "arecognize", "build_graph", "graph", "recognize"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
