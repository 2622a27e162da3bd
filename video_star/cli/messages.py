"""What the command line prints for people: progress, results, recorded conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from ..tools.printable import printable
from .plain_text import PlainStream

if TYPE_CHECKING:
    from ..graph.run import Event
    from ..training.synthesis import Progress

NODES: Final = ("tool_select", "tool_exec", "fuse", "decompose", "score")
BAR_WIDTH: Final = 24
MAX_ROWS: Final = 10


class Screen(Console):
    """A console that writes control characters in what it is given as escape sequences; its own styles stay."""

    def __init__(self, file: IO[str] | None = None) -> None:
        """Print to `file`; default: the stdout of the moment."""
        super().__init__(highlight=False, emoji=False, file=file)

    @property
    def file(self) -> IO[str]:
        """The stream below the one that escapes everything, styles included."""
        file = super().file
        return file.stream if isinstance(file, PlainStream) else file

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render_str(self, text: str, **options: Any) -> Text:
        """As in `Console`; made printable first, so that tables measure the text that they show."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with the text of each segment made printable."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


console = Screen()


@contextmanager
def node_progress() -> Iterator[Callable[[Event], None]]:
    """A spinner with the node that runs, and one line for each event of a node."""
    with console.status("reading the video", spinner="dots") as status:

        def on_event(event: Event) -> None:
            console.print(f"[bold cyan]{event['node']:<12}[/] {escape(_event_text(event))}")
            following = NODES[min(NODES.index(event["node"]) + 1, len(NODES) - 1)]
            status.update(f"next: {following}")

        yield on_event


@contextmanager
def synthesis_progress(target: int) -> Iterator[Callable[[Progress], None]]:
    """A bar of verified traces with acceptance rate, speed and cost; at the end, the reasons of rejections."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("traces"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    last: list[Progress] = []
    with Bars(*columns, console=console) as bars:
        bar = bars.add_task("", total=target)

        def on_progress(progress: Progress) -> None:
            last[:] = [progress]
            cost = f", {_cost(progress)}" if progress.cost else ""
            text = f"{progress.acceptance_rate:.0%} accepted, {progress.attempts_per_second:.2f} attempts/s{cost}"
            bars.update(bar, completed=min(progress.accepted, target), description=text)

        yield on_progress
    for progress in last:
        console.print(f"{progress.accepted} of {progress.attempts} traces verified")
        for rule, count in progress.rejected.most_common():
            console.print(f"  {rule}: {count}")
        for model, tokens in (("teacher", progress.tokens), ("verifier", progress.verifier_tokens)):
            if any(tokens.values()):
                console.print(f"{model}: " + ", ".join(f"{count:,} {kind} tokens" for kind, count in tokens.items()))
        if progress.cost:
            console.print(_cost(progress))


def _cost(progress: Progress) -> str:
    per_trace = f", {progress.cost / progress.accepted:.5f} per verified trace" if progress.accepted else ""
    return f"{progress.cost:.4f} USD{per_trace}"


def show_result(record: Mapping[str, Any]) -> None:
    """Print answer, scores, sub-actions, time and cost."""
    found = record["recognition"]
    colour = {"ok": "green", "degraded": "yellow"}.get(found["status"], "red")
    console.print(f"\n[bold]{escape(found['action'] or 'no answer')}[/]  [{colour}]{found['status']}[/]")
    if found["action"]:
        console.print(f"[dim]{escape(_confidence_text(found))}[/]")
    if found["error"]:
        console.print(f"[red]Error: {escape(found['error'])}[/]")
    for note in found["notes"]:
        console.print(f"[yellow]{escape(note)}[/]")
    if found["ranking"]:
        console.print(_score_table(found["ranking"]))
    for item in found["sub_actions"]:
        scores = ", ".join(f"{label} {value:g}" for label, value in item["scores"].items())
        console.print(f"  {item['rank']}. {escape(item['name'])}  [dim]{escape(scores)}[/]")
    seconds = found["usage"].get("seconds", {})
    by_node = ", ".join(f"{node} {value:.2f}" for node, value in seconds.items())
    console.print(f"\n[dim]{sum(seconds.values()):.2f} s ({by_node}); {_usage(found['usage'])}[/]")


def show_path(name: str, path: Path) -> None:
    """Print the path of a written file, on one line at any width, so that it can be copied."""
    console.print(f"{name}: {escape(str(path))}", soft_wrap=True)


def show_conversation(record: Mapping[str, Any]) -> None:
    """Print every message with its node and author."""
    for message in record["messages"]:
        title = f"{message.get('node', '')} · {message['role']} · by {message.get('author', '')}"
        console.rule(escape(title), align="left")
        console.print(escape(_text(message["content"])))
        for call in message.get("tool_calls") or ():
            console.print(f"[cyan]call {escape(call['name'])}[/] {escape(str(call['args']))}")


def _usage(usage: Mapping[str, Any]) -> str:
    """Policy calls, and tokens and cost if reported."""
    parts = [f"{usage.get('policy_calls', 0)} policy calls"]
    tokens, cost = usage.get("tokens") or {}, usage.get("cost")
    if tokens.get("input"):
        cached = f" ({tokens['cached']:,} cached)" if tokens.get("cached") else ""
        parts.append(f"{tokens['input']:,} input tokens{cached}, {tokens.get('output', 0):,} output")
    if cost:
        parts.append(f"{cost['amount']:,.6f} {escape(cost['currency'])}")
    return "; ".join(parts)


def _confidence_text(found: Mapping[str, Any]) -> str:
    """The confidence and on what it was calibrated, or that there is none."""
    if found.get("confidence") is None:
        return "no confidence: the scores of this policy are not calibrated"
    return f"confidence {found['confidence']:.2f}, calibrated on {found.get('calibrated_on') or 'unknown data'}"


def _score_table(ranking: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(Column("action", overflow="fold"), "score", "", box=None, pad_edge=False)
    for item in ranking[:MAX_ROWS]:
        full = "█" * round(BAR_WIDTH * item["score"])
        table.add_row(
            escape(item["action"]), f"{item['score']:.2f}", f"[cyan]{full}[/][dim]{'·' * (BAR_WIDTH - len(full))}[/]"
        )
    if len(ranking) > MAX_ROWS:
        table.add_row(f"and {len(ranking) - MAX_ROWS} more", "", "")
    return table


def _event_text(event: Event) -> str:
    match event["node"]:
        case "tool_select":
            return ", ".join(event["tools"]) or "no tools"
        case "tool_exec":
            status = "finished" if event["status"] == "ok" else event["status"]
            return f"{event['tool']}: {status} in {event['seconds']:.2f} s"
        case "fuse":
            return f"{event['frames']} annotated frames" + ("; another round" if event["another"] else "")
        case "decompose":
            return "; ".join(item["name"] for item in event["sub_actions"]) or "no sub-actions"
        case _:
            return f"{event['action']} ({event['status']})"


def _text(content: Any) -> str:
    from ..graph.records.content import content_text

    return content_text(content, lambda block: f"[{block.get('url') or 'image'}]")
