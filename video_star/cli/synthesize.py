"""`video-star synthesize`: reasoning traces for training, made by a teacher and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import typed_errors
from .options import LIMITS, agent_options, parse_price


# Two rounds, so that a teacher whose tool failed can call another one.
@agent_options(
    LIMITS,
    defaults={"temperature": 0.7, "max_rounds": 2},
    texts={"seed": "Seed of the order of clips, of the candidates and of sampling."},
)
def synthesize(
    split: Annotated[Path, typer.Argument(help="List of clips: lines of <file> <id> or <file>,<id>.")],
    labels: Annotated[Path, typer.Option(help="Label names: rows of id,name, or JSON from id to name.")],
    out: Annotated[Path, typer.Option(help="Folder for the traces; a folder begun earlier is resumed.")],
    teacher: Annotated[str, typer.Option(help="Policy that writes the traces, as in recognize, or scripted.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the clips; default: that of the list.")] = None,
    verifier: Annotated[str, typer.Option(help="A second model that must agree; default: rules only.")] = "",
    target: Annotated[int, typer.Option(min=1, help="Number of verified traces to make.")] = 5000,
    candidates: Annotated[int, typer.Option(help="Candidates per question, sampled anew each time; 0 for all.")] = 0,
    attempts: Annotated[int, typer.Option(help="Most attempts per clip.")] = 3,
    traces_per_clip: Annotated[int, typer.Option(help="Verified traces per clip.")] = 1,
    tool_failure_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of runs in which one tool is made to fail.")
    ] = 0.2,
    concurrency: Annotated[int, typer.Option(min=1, help="Number of concurrent runs.")] = 8,
    price: Annotated[
        str, typer.Option(help="Teacher's price in USD per million tokens: in/out or in/out/cached.")
    ] = "",
    verifier_price: Annotated[str, typer.Option(help="Verifier's price, in the same format.")] = "",
    processor: Annotated[
        str, typer.Option(help="Model (name or folder) whose processor counts the traces' tokens for the README.")
    ] = "",
    *,
    settings: dict[str, Any],
) -> None:
    """Make verified reasoning traces for training.

    Runs the agent with a teacher on labelled clips and keeps the runs in which rules, and a verifier if given, find no
    error.

    An interrupted run resumes when the command is repeated. The folder's README.md summarises the traces. Exits with 1
    if the clips did not yield enough traces.
    """
    with typed_errors():
        from ..evals.splits import read_split

        # Bad input is reported before the slow imports.
        given = [parse_price(text) if text else None for text in (price, verifier_price)]
        examples = read_split(split, labels)
        _check_inputs(out, split, labels)

        from ..evals.marionette.knowledge import use_knowledge, visible_primitives
        from ..graph.concurrency import wait_for
        from ..graph.policies.registry import resolve_policy
        from ..graph.state import Price
        from ..training.synthesis import Settings, load_processor, teacher_named, write_card
        from ..training.synthesis import synthesize as make
        from .messages import show_path, synthesis_progress

        folder = root or split.parent
        use_knowledge(folder)
        seed = settings.pop("seed", 0)
        choices = Settings(
            teacher, verifier, candidates, attempts, traces_per_clip, seed, tool_failure_rate, context=settings
        )
        reader = load_processor(processor) if processor else None
        prices = [Price.model_validate(one) if one else None for one in given]
        with synthesis_progress(target) as on_progress:
            made = wait_for(
                make(
                    examples,
                    folder,
                    out,
                    teacher_named(teacher, settings["temperature"], visible_primitives),
                    choices,
                    verifier=resolve_policy(verifier) if verifier else None,
                    price=prices[0],
                    verifier_price=prices[1],
                    target=target,
                    concurrency=concurrency,
                    on_progress=on_progress,
                )
            )
        if made.accepted:
            show_path("card", write_card(out, reader))
    raise typer.Exit(0 if made.accepted >= target else 1)


def _check_inputs(out: Path, split: Path, labels: Path) -> None:
    """Check that no file that is written is one that is read.

    Raises:
        OutputNotAllowed: One is.
    """
    from ..tools.output_files import check_appended
    from ..training.synthesis.folder import WRITTEN

    check_appended("--out", out, WRITTEN, {"the list of clips": split, "the labels": labels})
