"""The command line. What costs time to import waits until a command needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    pass

BAD_INPUT = 2
FAILED = 1

app = typer.Typer(
    name="video-star",
    help="Name the action in a video from any list of candidate actions, by looking with tools.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def recognize(
    clip: Annotated[str, typer.Argument(help="Path, file:// or http(s):// address of the video.")],
    actions: Annotated[str, typer.Option(help='Candidate actions, separated by commas: "hug, handshake".')] = "",
    actions_file: Annotated[Path | None, typer.Option(help="File with one candidate action per line.")] = None,
    policy: Annotated[str, typer.Option(help="kinematic (embedded), or provider:model.")] = "kinematic",
    mode: Annotated[str, typer.Option(help="agentic, static, no_tools or no_sub_actions.")] = "agentic",
    tools: Annotated[str, typer.Option(help="Tools on offer, separated by commas; all where left out.")] = "",
    rounds: Annotated[int, typer.Option(help="How often the policy may choose tools.")] = 1,
    start: Annotated[float | None, typer.Option(help="Start of the span to look at, in seconds.")] = None,
    end: Annotated[float | None, typer.Option(help="End of the span, in seconds.")] = None,
    question: Annotated[str | None, typer.Option(help="What is asked of the video.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Folder to append the record of the run to.")] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Write a video with skeletons and scores drawn (.mp4, .gif).")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the run as one HTML page.")] = None,
) -> None:
    """Recognise the action in a video.

    Exits with 0 when there is an answer, 1 when the run failed, 2 when the input cannot be used.
    """
    with _typed_errors():
        names = _listed(actions, actions_file)
        settings: dict[str, Any] = {"policy": policy, "mode": mode, "max_rounds": rounds}
        if tools:
            settings["tools"] = [name.strip() for name in tools.split(",") if name.strip()]
        record = _run(clip, names, {"question": question, "start": start, "end": end, **settings}, quiet=as_json)
        _outputs(record, trace, annotate, report)
    _finish(record, as_json, {"annotated video": annotate, "page": report, "trace": trace})


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the annotated video and the page.")] = Path("runs/demo"),
) -> None:
    """Recognise a bundled clip of people walking, and write the annotated video and the page of the run."""
    from importlib.resources import files

    clip = str(files("video_star.tools") / "clips" / "people_walking.mp4")
    names = ["walk", "run", "jump", "sit", "wave", "hug", "shake hands", "ride bike"]
    video, page = out / "people_walking.mp4", out / "people_walking.html"
    with _typed_errors():
        record = _run(clip, names, {}, quiet=False)
        _outputs(record, out, video, page)
    _finish(record, False, {"annotated video": video, "page": page, "trace": out})


@app.command()
def show(
    trace: Annotated[Path, typer.Argument(help="Folder that --trace wrote.")],
    run: Annotated[str, typer.Option(help="Beginning of the run's id; the last run where left out.")] = "",
    report: Annotated[Path | None, typer.Option(help="Write the run as one HTML page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Show a recorded run: its answer, sub-actions, evidence and conversation."""
    with _typed_errors():
        from .graph.record import read
        from .tools.errors import BadRecord

        runs = [record for record in read(trace) if record["id"].startswith(run)]
        if not runs:
            raise BadRecord(f"{trace} holds no run {run!r}; leave --run out for the last one")
        record = runs[-1]
        if report is not None:
            _write_page(record, report, trace if trace.is_dir() else trace.parent)
    if not as_json:
        from .screen import conversation

        conversation(record)
    _finish(record, as_json, {"page": report})


@app.command()
def doctor() -> None:
    """Say what is installed, which backends work, and the line that installs what is missing."""
    from .doctor import report

    raise typer.Exit(report())


def main() -> None:
    """Entry point of `video-star`."""
    app()


def _listed(actions: str, actions_file: Path | None) -> list[str]:
    from .tools.errors import BadActions

    lines: list[str] = []
    if actions_file is not None:
        try:
            lines = actions_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadActions(f"--actions-file {actions_file} cannot be read: {error}") from None
    return [name.strip() for name in [*actions.split(","), *lines] if name.strip()]


def _run(clip: str, actions: list[str], options: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    from .graph.check import checked_actions
    from .graph.recognition import run_record, wait_for
    from .tools.clip import open_clip

    # Both are checked again by the graph; here they fail before its import, which takes longer than they do.
    names = checked_actions(actions)
    open_clip(clip, options.get("start"), options.get("end"))
    on_event = None
    if not quiet:
        from .screen import progress

        with progress() as on_event:
            return wait_for(run_record(clip, names, on_event=on_event, **options))
    return wait_for(run_record(clip, names, **options))


def _outputs(record: dict[str, Any], trace: Path | None, annotate: Path | None, report: Path | None) -> None:
    if trace is not None:
        from .graph.record import append

        append(record, trace)
    if annotate is not None:
        from .graph.overlay import write_overlay

        write_overlay(record, annotate)
    if report is not None:
        _write_page(record, report)


def _write_page(record: dict[str, Any], page: Path, trace: Path | None = None) -> None:
    from .graph.page import render_page
    from .tools.media import MediaStore, default_store

    store = MediaStore(trace / "media") if trace is not None else default_store()
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_page(record, store.get), encoding="utf-8")


def _finish(record: dict[str, Any], as_json: bool, written: dict[str, Path | None]) -> NoReturn:
    result = record["recognition"]
    if as_json:
        print(
            json.dumps(
                {**result, "evidence": [_without_frames(item) for item in result["evidence"]]}, ensure_ascii=False
            )
        )
    else:
        from .screen import result as show_result

        show_result(record, {name: path for name, path in written.items() if path is not None})
    raise typer.Exit(FAILED if result["status"] == "failed" else 0)


def _without_frames(evidence: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in evidence.items() if name != "frames"}


@contextmanager
def _typed_errors() -> Iterator[None]:
    """One line on stderr for what a user can mend, never a traceback."""
    from .tools.errors import BadInput, VideoStarError

    try:
        yield
    except VideoStarError as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(BAD_INPUT if isinstance(error, BadInput | ImportError) else FAILED) from None
    except OSError as error:
        print(f"{type(error).__name__}: {error}; check that the path can be written", file=sys.stderr)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise typer.Exit(130) from None


if __name__ == "__main__":
    main()
