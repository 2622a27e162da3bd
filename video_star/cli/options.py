"""The options of every command that runs the agent, defined once.

Each is a field of `graph.state.Context`, which gives its default, range and help text. `Context` is imported only to
show the help of such a command; an option that is not given is not passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from .errors import typed_errors

MAX_PRICE: Final = 1e6
"""USD per million tokens, as in `graph.state.Price`."""
LIMITS: Final[Mapping[str, type]] = {
    "frames": int,
    "pixels": int,
    "max_rounds": int,
    "policy_seconds": float,
    "tool_seconds": float,
    "temperature": float,
    "seed": int,
}
"""Limits and sampling."""
PATIENT: Final[Mapping[str, Any]] = {"tool_seconds": 3600.0}
"""Defaults that differ from those of `Context`: here someone watches the progress and can interrupt, so that a slow
machine gives the same answer as a fast one."""
RUN: Final[Mapping[str, type]] = {
    "policy": str,
    "mode": str,
    "tools": str,
    "describer": str,
    "explainer": str,
    "structured": str,
    "price": str,
}
"""Policy, tools and models behind tools."""
FORMATS: Final = {
    "policy": "kinematic (embedded), vllm:MODEL@URL, transformers:FOLDER, dashscope:MODEL or PROVIDER:MODEL.",
    "tools": "Tools on offer. Comma-separated; default: all.",
    "price": "USD per million input/output tokens, to report the cost: 0.8/3.2, or input/output/cached.",
}
"""Help of options whose value on the command line is not that of the field."""

Force = Annotated[bool, typer.Option("--force", help="Replace existing files that video-star did not write.")]


class AgentCommand(TyperCommand):
    """A command that runs the agent; its help shows defaults and texts of `Context`."""

    def format_help(self, *arguments: Any) -> None:
        """Fill in what the options leave to `Context`."""
        from ..graph.state import Context

        for option in self.params:
            field = Context.model_fields.get(option.name or "")
            if field is None:
                continue
            if not getattr(option, "help", None):
                option.help = field.description  # type: ignore[attr-defined]
            if option.default is None and option.name not in FORMATS:
                option.default = field.default
        super().format_help(*arguments)


def agent_options(
    *groups: Mapping[str, type],
    defaults: Mapping[str, Any] = MappingProxyType({}),
    texts: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `groups`.

    The command receives those given, and `defaults`, as its keyword argument `settings`: fields of `Context` by name.

    Args:
        groups: `LIMITS`, `RUN` or both.
        defaults: Defaults of this command that differ from those of `Context` and `PATIENT`.
        texts: Help texts of this command that differ from those of `Context`.
    """
    defaults = {**PATIENT, **defaults}
    options = {name: kind for group in groups for name, kind in group.items()}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in signature(command, eval_str=True).parameters.values() if p.name != "settings"]
        shared = [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=defaults.get(name),
                annotation=Annotated[kind | None, typer.Option(help=texts.get(name) or FORMATS.get(name))],
            )
            for name, kind in options.items()
        ]

        @wraps(command)
        def run(**given: Any) -> None:
            settings = {name: value for name in options if (value := given.pop(name)) is not None}
            with typed_errors():
                if "price" in settings:
                    settings["price"] = parse_price(settings["price"])
            if "tools" in settings:
                names = [name.strip() for name in settings.pop("tools").split(",") if name.strip()]
                settings |= {"tools": list(dict.fromkeys(names))} if names else {}
            command(**given, settings=settings)

        run.__signature__ = signature(command).replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
        return run

    return decorate


def parse_price(text: str) -> dict[str, float]:
    """A price such as 0.8/3.2 as the fields of `graph.state.Price`.

    Raises:
        BadInput: It has another format.
    """
    from ..tools.errors import BadInput

    try:
        figures = [float(figure) for figure in text.split("/")]
        if not all(0 <= figure <= MAX_PRICE for figure in figures):
            raise ValueError
        return dict(zip(("input", "output", "cached")[: max(2, len(figures))], figures, strict=True))
    except ValueError:
        raise BadInput(
            f"invalid price {text[:40]!r}; give USD per million input/output tokens, as in 0.8/3.2"
        ) from None
