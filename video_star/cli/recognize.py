"""`video-star recognize` and `video-star demo`: run the agent on one video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import typed_errors
from .labels import read_label_file, typed_labels, warn_of_split_labels
from .options import LIMITS, RUN, Force, agent_options
from .plain_text import stdout_to_stderr
from .results import Outputs, check_outputs, finish, write_page


@agent_options(RUN, LIMITS)
def recognize(
    clip: Annotated[str, typer.Argument(help="Path or URL (file://, http(s)://) of the video.")],
    actions: Annotated[
        str, typer.Option(help='Candidate actions, comma-separated ("hug, handshake") or a JSON list.')
    ] = "",
    actions_file: Annotated[
        Path | None,
        typer.Option(help="File of candidate actions: one per line, rows of id,name, numbered lines, or JSON."),
    ] = None,
    start: Annotated[float | None, typer.Option(help="Start of the time span, in seconds.")] = None,
    end: Annotated[float | None, typer.Option(help="End of the time span, in seconds.")] = None,
    question: Annotated[str | None, typer.Option(help="Question about the video, instead of the default one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Append the record of the run to this folder.")] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Write a video (.mp4, .gif) annotated with skeletons and scores.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the run as one HTML page.")] = None,
    rerun: Annotated[
        Path | None, typer.Option(help="Write the run as a file (.rrd) for the Rerun viewer; needs the extra [rerun].")
    ] = None,
    force: Force = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Recognise the action in a video.

    Exits with 0 if there is an answer, 1 if the run failed, 2 if the input is invalid.
    """
    with typed_errors():
        if annotate is not None:
            _check_suffix(annotate)
        if rerun is not None:
            _check_rerun(rerun)
        names = _candidates(actions, actions_file)
        files = {"--annotate": annotate, "--report": report, "--rerun": rerun}

        def check(source: Path) -> None:
            inputs = {"the video": source} | ({"--actions-file": actions_file} if actions_file else {})
            check_outputs(inputs, files, trace=trace, force=force)

        record = _run(
            clip,
            names,
            {"question": question, "start": start, "end": end},
            settings,
            check,
            quiet=as_json,
            typed=actions,
        )
    finish(record, as_json, _outputs(record, trace, annotate, report, rerun))


@agent_options(RUN, LIMITS)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the annotated video and the page.")] = Path("runs/demo"),
    force: Force = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Recognise a bundled clip; write a video and a page."""
    from ..tools.video.source import DEMO_CLIP

    names = ["walk", "run", "jump", "sit", "wave", "hug", "shake hands", "ride bike"]
    video, page = out / "people_walking.mp4", out / "people_walking.html"

    def check(source: Path) -> None:
        check_outputs({"the video": source}, {"--annotate": video, "--report": page}, trace=out, force=force)

    with typed_errors():
        record = _run(str(DEMO_CLIP), names, {}, settings, check, quiet=False)
    finish(record, False, _outputs(record, out, video, page))


def _candidates(actions: str, actions_file: Path | None) -> list[str]:
    from ..tools.errors import BadActions

    names = typed_labels(actions) + (read_label_file(actions_file) if actions_file is not None else [])
    if not names:
        raise BadActions('no candidate actions; give --actions "hug, handshake", or --actions-file with one per line')
    return names


def _check_suffix(video: Path) -> None:
    from ..tools.errors import BadInput

    if video.suffix.lower() not in (".mp4", ".gif"):
        raise BadInput(f"--annotate {video}: unknown video format; give a name that ends in .mp4 or .gif")


def _run(
    clip: str,
    actions: list[str],
    inputs: dict[str, Any],
    settings: dict[str, Any],
    check: Callable[[Path], None],
    *,
    quiet: bool,
    typed: str = "",
) -> dict[str, Any]:
    """The record of a run; `check` is given the file of the video before the run, `typed` is the text of --actions."""
    from ..tools.video.clip import open_clip
    from ..tools.vision.engines import engine

    # The graph checks all of this again. Checked here, a bad video fails before the graph is imported, which takes
    # longer, and a bad setting before a frame is read.
    check(open_clip(clip, inputs.get("start"), inputs.get("end")).path)
    engine()

    from ..graph.candidates import checked_actions
    from ..graph.concurrency import wait_for
    from ..graph.policies.registry import resolve_policy
    from ..graph.run import checked_context, run_record

    checked_actions(actions)
    context = checked_context(settings)
    resolve_policy(context.policy, context.temperature, context.seed)
    warn_of_split_labels(typed)
    if quiet:
        with stdout_to_stderr():
            return wait_for(run_record(clip, actions, **inputs, **settings))
    from .messages import node_progress

    with node_progress() as on_event:
        return wait_for(run_record(clip, actions, on_event=on_event, **inputs, **settings))


def _check_rerun(path: Path) -> None:
    from ..graph.report.rerun_file import installed
    from ..tools.errors import BadInput

    if path.suffix.lower() != ".rrd":
        raise BadInput(f"--rerun {path}: give a name that ends in .rrd")
    installed()


def _outputs(
    record: dict[str, Any],
    trace: Path | None,
    annotate: Path | None,
    report: Path | None,
    rerun: Path | None = None,
) -> Outputs:
    def append_to(folder: Path) -> None:
        from ..graph.records.trace import append

        append(record, folder)

    def draw(video: Path) -> None:
        from ..graph.report.annotated_video import write_overlay

        write_overlay(record, video)

    def log(path: Path) -> None:
        from ..graph.report.rerun_file import write_rerun

        write_rerun(record, path)

    def write_report(page: Path) -> None:
        from ..graph.report.annotated_video import preview

        write_page(record, page, video=preview(record))

    return {
        "trace": (trace, append_to),
        "annotated video": (annotate, draw),
        "page": (report, write_report),
        "file for Rerun": (rerun, log),
    }
