"""Commands that make and pass on data to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .terminal import priced, stdout_kept_clean, typed_errors


def export(
    trace: Annotated[Path, typer.Argument(help="Folder that --trace wrote.")],
    to: Annotated[Path, typer.Option(help="Folder for the table, read by datasets.load_from_disk.")],
) -> None:
    """Write recorded runs as a Hugging Face table, one row per training sequence."""
    with typed_errors():
        from ..training.export import export as write_table

        with stdout_kept_clean():
            count = write_table(trace, to)
    print(f"{count} rows: {to}")


marionette = typer.Typer(help="Marionette: clips of animated people with their ground truth.", no_args_is_help=True)


@marionette.command("make")
def make_marionette(
    out: Annotated[Path, typer.Argument(help="Folder: new, or one of the same seed, which is gone on with.")],
    clips: Annotated[int, typer.Option(help="How many; a multiple of 48 gives each action the same number.")] = 960,
    seed: Annotated[int, typer.Option(help="The same seed gives the same clips.")] = 0,
    hard: Annotated[bool, typer.Option("--hard", help="Blur, occluders, shake, odd views, dim light, noise.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; one for each core where left out.")] = None,
) -> None:
    """Film a data set of animated actions: clips under opaque names, annotations, split files, a data card."""
    with typed_errors():
        from ..evals.marionette.dataset import make

        print(f"{len(make(out, clips, seed, hard, workers))} clips: {out}")


def synthesize(
    split: Annotated[Path, typer.Argument(help="Listing of the clips: lines of <file> <id> or <file>,<id>.")],
    labels: Annotated[Path, typer.Option(help="What the ids mean: rows of id,name, or JSON from id to name.")],
    to: Annotated[Path, typer.Option(help="Folder for the chains; one that was begun is gone on with.")],
    teacher: Annotated[str, typer.Option(help="Who makes the chains: a policy, as for recognize, or scripted.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the clips; that of the listing where left out.")] = None,
    verifier: Annotated[
        str, typer.Option(help="A second model that must agree; rules alone decide where left out.")
    ] = "",
    target: Annotated[int, typer.Option(min=1, help="Verified chains wanted.")] = 5000,
    candidates: Annotated[
        int, typer.Option(help="Candidates of each question, drawn anew for each; 0 for all labels.")
    ] = 0,
    attempts: Annotated[int, typer.Option(help="Tries at a clip until it has its chains.")] = 3,
    per_clip: Annotated[int, typer.Option(help="Verified chains of one clip.")] = 1,
    failing: Annotated[float, typer.Option(min=0, max=1, help="Share of runs in which one of the tools fails.")] = 0.2,
    at_once: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 8,
    temperature: Annotated[float, typer.Option(help="Sampling temperature of the teacher.")] = 0.7,
    seed: Annotated[int, typer.Option(help="Another seed draws other orders, candidates and samples.")] = 0,
    price: Annotated[str, typer.Option(help="Of the teacher, USD per million tokens: in/out or in/out/cached.")] = "",
    verifier_price: Annotated[str, typer.Option(help="Of the verifier, in the same form.")] = "",
    processor: Annotated[
        str, typer.Option(help="Model whose processor counts the chains' tokens for the README, by name or folder.")
    ] = "",
) -> None:
    """Make verified chains to learn from, by running the agent with a teacher over labelled clips.

    Broken off and called again, it goes on where it was. The folder's README.md sums up what was made. Exits with 1 if
    the clips did not suffice for the target.
    """
    with typed_errors():
        from ..evals.splits import read_split

        # What is wrong with what was given is said before the imports, which take longer than that.
        given = [priced(text) if text else None for text in (price, verifier_price)]
        examples = read_split(split, labels)

        from ..evals.marionette.knowledge import shown, use
        from ..graph.concurrency import wait_for
        from ..graph.policies.registry import resolve_policy
        from ..graph.state import Price
        from ..training.synthesis import Settings, load_processor, teacher_named, write_card
        from ..training.synthesis import synthesize as make
        from .screen import chains, written

        folder = root or split.parent
        use(folder)
        # A second round, so that a teacher whose tool failed can ask another.
        context: dict[str, Any] = {"temperature": temperature, "max_rounds": 2}
        settings = Settings(teacher, verifier, candidates, attempts, per_clip, seed, failing, context)
        reader = load_processor(processor) if processor else None
        prices = [Price.model_validate(one) if one else None for one in given]
        with chains(target) as on_progress:
            made = wait_for(
                make(
                    examples,
                    folder,
                    to,
                    teacher_named(teacher, temperature, shown),
                    settings,
                    verifier=resolve_policy(verifier) if verifier else None,
                    price=prices[0],
                    verifier_price=prices[1],
                    target=target,
                    at_once=at_once,
                    on_progress=on_progress,
                )
            )
        if made.accepted:
            written("card", write_card(to, reader))
    raise typer.Exit(0 if made.accepted >= target else 1)
