"""The command line, one module per command group.

Modules that are slow to import are imported inside the commands that need them.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated, Final, TextIO, cast

import typer

from ..interrupts import end_on_interrupt
from . import doctor, marionette, models, recognize, serve, synthesize, traces
from .options import AgentCommand
from .plain_text import PlainStream

RENAMED: Final = {"to": "out", "per-clip": "traces-per-clip"}
"""Former names of options, accepted until version 0.3."""

app = typer.Typer(
    name="video-star",
    help="Recognise the action in a video, from any list of candidate actions, with vision tools.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"token_normalize_func": lambda name: RENAMED.get(name, name)},
)
app.command(cls=AgentCommand)(recognize.recognize)
app.command(cls=AgentCommand)(recognize.demo)
app.command()(traces.show)
app.command()(traces.export)
app.command(cls=AgentCommand)(synthesize.synthesize)
app.command()(serve.serve)
app.command()(doctor.doctor)
app.add_typer(models.app, name="models")
app.add_typer(marionette.app, name="marionette")


def _print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        print(f"video-star {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line, on streams that print no control characters."""
    end_on_interrupt()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Characters that the terminal's encoding lacks are printed as escapes.
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = cast(TextIO, PlainStream(sys.stdout)), cast(TextIO, PlainStream(sys.stderr))
    app()
