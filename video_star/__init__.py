"""Open-vocabulary video action recognition with tools.

The names below load when first used, so that importing this package costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .graph import Context, Recognition, arecognize, build_graph, recognize
    from .tools.errors import BadInput, VideoStarError
    from .tools.registry import langchain_tool

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "Context",
    "Recognition",
    "VideoStarError",
    "arecognize",
    "build_graph",
    "langchain_tool",
    "recognize",
]

_HOMES = {
    "BadInput": ".tools.errors",
    "VideoStarError": ".tools.errors",
    "langchain_tool": ".tools.registry",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, ".graph"), __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
