"""The command line. What costs time to import waits until a command needs it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from .data import export, marionette, synthesize
from .terminal import FAILED, INTERRUPTED, priced, stdout_kept_clean, told, typed_errors

LONGEST_LIST = 2**20
"""Characters read of a file of actions, above what 2000 actions of 300 characters take: a device has no end."""

Outputs = Mapping[str, tuple[Path | None, Callable[[Path], None]]]
"""What to write: name to (where to, how); nowhere is None."""

app = typer.Typer(
    name="video-star",
    help="Name the action in a video from any list of candidate actions, by looking with tools.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

models = typer.Typer(help="Weights of YOLO11 (AGPL-3.0): list them, fetch them.", no_args_is_help=True)
app.add_typer(models, name="models")
app.command()(export)
app.command()(synthesize)
app.add_typer(marionette, name="marionette")


@app.command()
def recognize(
    clip: Annotated[str, typer.Argument(help="Path, file:// or http(s):// address of the video.")],
    actions: Annotated[str, typer.Option(help='Candidate actions, separated by commas: "hug, handshake".')] = "",
    actions_file: Annotated[Path | None, typer.Option(help="File with one candidate action per line.")] = None,
    policy: Annotated[
        str, typer.Option(help="kinematic (embedded), vllm:model@url, transformers:folder, or provider:model.")
    ] = "kinematic",
    mode: Annotated[str, typer.Option(help="agentic, static, no_tools or no_sub_actions.")] = "agentic",
    tools: Annotated[str, typer.Option(help="Tools on offer, separated by commas; all where left out.")] = "",
    rounds: Annotated[int, typer.Option(help="How often the policy may choose tools.")] = 1,
    start: Annotated[float | None, typer.Option(help="Start of the span to look at, in seconds.")] = None,
    end: Annotated[float | None, typer.Option(help="End of the span, in seconds.")] = None,
    question: Annotated[str | None, typer.Option(help="What is asked of the video.")] = None,
    describer: Annotated[
        str, typer.Option(help="Who writes describe_video: embedded, or a vision model named as a policy is.")
    ] = "embedded",
    explainer: Annotated[
        str, typer.Option(help="Who defines labels that the knowledge base lacks: embedded, or a chat model.")
    ] = "embedded",
    temperature: Annotated[float, typer.Option(help="Sampling temperature of a chat model.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the sampling, where the model takes one.")] = 0,
    structured: Annotated[
        str,
        typer.Option(help="Hold each turn to its form: auto (by grammar, where the policy takes one), always, never."),
    ] = "auto",
    price: Annotated[
        str, typer.Option(help="USD per million input/output tokens, to show the cost: 0.8/3.2, or in/out/cached.")
    ] = "",
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
    with typed_errors():
        settings: dict[str, Any] = {"policy": policy, "mode": mode, "max_rounds": rounds}
        settings |= {"temperature": temperature, "seed": seed, "structured": structured}
        settings |= {"describer": describer, "explainer": explainer}
        if named := [name.strip() for name in tools.split(",") if name.strip()]:
            settings["tools"] = list(dict.fromkeys(named))
        if price:
            settings["price"] = priced(price)
        if annotate is not None:
            _check_suffix(annotate)
        names = _listed(actions, actions_file)
        record = _run(clip, names, {"question": question, "start": start, "end": end, **settings}, quiet=as_json)
    _finish(record, as_json, _outputs(record, trace, annotate, report))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the annotated video and the page.")] = Path("runs/demo"),
) -> None:
    """Recognise a bundled clip of people walking, and write the annotated video and the page of the run."""
    from importlib.resources import files

    clip = str(files("video_star.tools") / "clips" / "people_walking.mp4")
    names = ["walk", "run", "jump", "sit", "wave", "hug", "shake hands", "ride bike"]
    video, page = out / "people_walking.mp4", out / "people_walking.html"
    with typed_errors():
        record = _run(clip, names, {}, quiet=False)
    _finish(record, False, _outputs(record, out, video, page))


@app.command()
def show(
    trace: Annotated[Path, typer.Argument(help="Folder that --trace wrote.")],
    run: Annotated[str, typer.Option(help="Beginning of the run's id; the last run where left out.")] = "",
    report: Annotated[Path | None, typer.Option(help="Write the run as one HTML page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Show a recorded run: its answer, sub-actions, evidence and conversation."""
    with typed_errors():
        from ..graph.records.trace import read, recognition
        from ..tools.errors import BadRecord

        record: dict[str, Any] = {}
        for each in read(trace):
            if str(each["id"]).startswith(run):
                record = each
        if not record:
            raise BadRecord(f"{trace} holds no run {run!r}; leave --run out for the last one")
        recognition(record)
    if not as_json:
        from .screen import conversation

        conversation(record)
    folder = trace if trace.is_dir() else trace.parent
    _finish(record, as_json, {"page": (report, lambda path: _write_page(record, path, folder))})


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="Model id on Hugging Face, or folder of a checkpoint.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines too.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    max_model_len: Annotated[
        int | None, typer.Option(help="Longest conversation in tokens; the model's own limit where left out.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Start it here instead of printing it.")] = False,
    more: Annotated[
        list[str] | None, typer.Argument(help="More options of `vllm serve`, after --, such as -- --dtype bfloat16.")
    ] = None,
) -> None:
    """Print the vLLM command that serves a model as a policy, or start it with --run."""
    with typed_errors():
        from ..graph.policies.vllm_serve import serve_command, start

        command = serve_command(model, host=host, port=port, max_model_len=max_model_len, more=more or ())
        print(f"policy: vllm:{model}@http://{_reached_at(host)}:{port}/v1", file=sys.stderr, flush=True)
        if run:
            start(command)
        print(shlex.join(command))


@models.command("list")
def list_models() -> None:
    """Show which weights there are, which are on this machine, and which engine looks for people."""
    with typed_errors():
        from .models import show as show_models

        show_models()


@models.command("pull")
def pull_models(names: Annotated[list[str], typer.Argument(help="Names such as yolo11n yolo11n-pose.")]) -> None:
    """Fetch weights from the release of their makers; a fetch that broke off goes on where it stopped."""
    with typed_errors():
        from .models import fetch

        fetch(names)


@app.command()
def doctor() -> None:
    """Say what is installed, which backends work, and the line that installs what is missing."""
    from .doctor import report

    raise typer.Exit(report())


def main() -> None:
    """Entry point of `video-star`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal of another encoding gets escapes for what it cannot show.
            stream.reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    app()


def _leave(signal_number: int, frame: object) -> NoReturn:
    """On Ctrl-C, at once: to leave in order would mean to wait for the tools at work in threads."""
    if sys.stdout.isatty():
        show_cursor = b"\x1b[?25h\n"
        os.write(sys.stdout.fileno(), show_cursor)
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _listed(actions: str, actions_file: Path | None) -> list[str]:
    from ..tools.errors import BadActions

    lines: list[str] = []
    if actions_file is not None:
        try:
            with actions_file.open(encoding="utf-8-sig") as file:
                lines = file.read(LONGEST_LIST).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadActions(
                f"--actions-file {actions_file} cannot be read: {error}; give a text file in UTF-8"
            ) from None
    names = [name.strip() for name in [*actions.split(","), *lines] if name.strip()]
    if not names:
        raise BadActions('no candidate actions; give --actions "hug, handshake", or --actions-file with one per line')
    return names


def _reached_at(host: str) -> str:
    return "127.0.0.1" if host == "0.0.0.0" else host


def _check_suffix(annotate: Path) -> None:
    from ..tools.errors import BadInput

    if annotate.suffix.lower() not in (".mp4", ".gif"):
        raise BadInput(f"--annotate {annotate} is neither .mp4 nor .gif; give a name that ends in one of them")


def _run(clip: str, actions: list[str], options: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    from ..tools.video.clip import open_clip
    from ..tools.vision.engines import engine

    # All is checked again by the graph. Here the video fails before the graph's import, which takes longer than that,
    # and the rest before a frame is read.
    open_clip(clip, options.get("start"), options.get("end"))
    engine()

    from ..graph.candidates import checked_actions
    from ..graph.policies.registry import resolve_policy
    from ..graph.run import checked_context, run_record, wait_for

    checked_actions(actions)
    asked = ("question", "start", "end")
    settings = checked_context({name: value for name, value in options.items() if name not in asked})
    resolve_policy(settings.policy, settings.temperature, settings.seed)
    if quiet:
        with stdout_kept_clean():
            return wait_for(run_record(clip, actions, **options))
    from .screen import progress

    with progress() as on_event:
        return wait_for(run_record(clip, actions, on_event=on_event, **options))


def _outputs(record: dict[str, Any], trace: Path | None, annotate: Path | None, report: Path | None) -> Outputs:
    def append_to(folder: Path) -> None:
        from ..graph.records.trace import append

        append(record, folder)

    def draw(video: Path) -> None:
        from ..graph.report.annotated_video import write_overlay

        write_overlay(record, video)

    return {
        "trace": (trace, append_to),
        "annotated video": (annotate, draw),
        "page": (report, lambda path: _write_page(record, path)),
    }


def _write_page(record: dict[str, Any], page: Path, trace: Path | None = None) -> None:
    from ..graph.report.page import render_page
    from ..tools.execution.media_store import MediaStore, default_store

    store = MediaStore(trace / "media") if trace is not None else default_store()
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_page(record, store.get), encoding="utf-8")


def _finish(record: dict[str, Any], as_json: bool, outputs: Outputs) -> NoReturn:
    """Give the answer, then write the files: one that cannot be written must not cost the answer."""
    from ..tools.errors import VideoStarError

    failed = record["recognition"]["status"] == "failed"
    if as_json:
        _print_json(record["recognition"])
    else:
        from .screen import result

        result(record)
    for name, (path, write) in outputs.items():
        if path is None:
            continue
        try:
            with stdout_kept_clean():
                write(path)
        except (VideoStarError, OSError) as error:
            print(f"no {name}: {told(error)}", file=sys.stderr)
            failed = True
        else:
            if not as_json:
                from .screen import written

                written(name, path)
    raise typer.Exit(FAILED if failed else 0)


def _print_json(result: Mapping[str, Any]) -> None:
    shown = {**result, "evidence": [_without_frames(item) for item in result["evidence"]]}
    # As bytes: JSON is UTF-8 whatever the terminal's encoding.
    typer.echo(json.dumps(shown, ensure_ascii=False).encode(errors="backslashreplace"))


def _without_frames(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in evidence.items() if name != "frames"}
