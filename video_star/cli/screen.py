"""What the command line prints for people: progress per node, the result, a recorded conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

if TYPE_CHECKING:
    from ..graph.run import Event
    from ..training.synthesis import Progress

NODES: Final = ("tool_select", "tool_exec", "fuse", "decompose", "score")
BAR: Final = 24
SHOWN: Final = 10

console = Console(highlight=False)


@contextmanager
def progress() -> Iterator[Callable[[Event], None]]:
    """A spinner with the node at work, and one line for each thing a node chose or found."""
    with console.status("reading the video", spinner="dots") as status:

        def on_event(event: Event) -> None:
            console.print(f"[bold cyan]{event['node']:<12}[/] {escape(_told(event))}")
            following = NODES[min(NODES.index(event["node"]) + 1, len(NODES) - 1)]
            status.update(f"then {following}")

        yield on_event


@contextmanager
def chains(target: int) -> Iterator[Callable[[Progress], None]]:
    """A bar of verified chains, with yield, speed and cost; at the end, what was rejected and why."""
    columns = (
        TextColumn("chains"),
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
            cost = f", {_dollars(progress)}" if progress.cost else ""
            told = f"yield {progress.share:.0%}, {progress.speed:.2f} tried/s{cost}"
            bars.update(bar, completed=min(progress.accepted, target), description=told)

        yield on_progress
    for progress in last:
        console.print(f"{progress.accepted} of {progress.tried} chains verified")
        for rule, count in progress.rejected.most_common():
            console.print(f"  {rule}: {count}")
        for who, tokens in (("teacher", progress.tokens), ("verifier", progress.verifier_tokens)):
            if any(tokens.values()):
                console.print(f"{who}: " + ", ".join(f"{count:,} {kind} tokens" for kind, count in tokens.items()))
        if progress.cost:
            console.print(_dollars(progress))


def _dollars(progress: Progress) -> str:
    each = f", {progress.cost / progress.accepted:.5f} a verified chain" if progress.accepted else ""
    return f"{progress.cost:.4f} USD{each}"


def result(record: Mapping[str, Any]) -> None:
    """Answer, scores, sub-actions, and what they cost."""
    found = record["recognition"]
    colour = {"ok": "green", "degraded": "yellow"}.get(found["status"], "red")
    console.print(f"\n[bold]{escape(found['action'] or 'no answer')}[/]  [{colour}]{found['status']}[/]")
    if found["error"]:
        console.print(f"[red]{escape(found['error'])}[/]")
    for note in found["notes"]:
        console.print(f"[yellow]{escape(note)}[/]")
    if found["ranking"]:
        console.print(_scores(found["ranking"]))
    for item in found["sub_actions"]:
        scores = ", ".join(f"{label} {value:g}" for label, value in item["scores"].items())
        console.print(f"  {item['rank']}. {escape(item['name'])}  [dim]{escape(scores)}[/]")
    seconds = found["usage"].get("seconds", {})
    spent = ", ".join(f"{node} {value:.2f}" for node, value in seconds.items())
    console.print(f"\n[dim]{sum(seconds.values()):.2f} s ({spent}); {_counted(found['usage'])}[/]")


def written(name: str, path: Path) -> None:
    """Where a file was written, on one line whatever the width, so that it can be copied."""
    console.print(f"{name}: {escape(str(path))}", soft_wrap=True)


def conversation(record: Mapping[str, Any]) -> None:
    """Every turn with its node and author."""
    for message in record["messages"]:
        title = f"{message.get('node', '')} · {message['role']} · by {message.get('author', '')}"
        console.rule(escape(title), align="left")
        console.print(escape(_text(message["content"])))
        for call in message.get("tool_calls", ()):
            console.print(f"[cyan]call {escape(call['name'])}[/] {escape(str(call['args']))}")


def _counted(usage: Mapping[str, Any]) -> str:
    """Policy calls, and tokens and cost where there are any."""
    parts = [f"{usage.get('policy_calls', 0)} policy calls"]
    tokens, cost = usage.get("tokens") or {}, usage.get("cost")
    if tokens.get("input"):
        cached = f" ({tokens['cached']:,} cached)" if tokens.get("cached") else ""
        parts.append(f"{tokens['input']:,} tokens in{cached}, {tokens['output']:,} out")
    if cost:
        parts.append(f"{cost['amount']:,.6f} {escape(cost['currency'])}")
    return "; ".join(parts)


def _scores(ranking: list[Mapping[str, Any]]) -> Table:
    table = Table("action", "score", "", box=None, pad_edge=False)
    for item in ranking[:SHOWN]:
        full = "█" * round(BAR * item["score"])
        table.add_row(
            escape(item["action"]), f"{item['score']:.2f}", f"[cyan]{full}[/][dim]{'·' * (BAR - len(full))}[/]"
        )
    if len(ranking) > SHOWN:
        table.add_row(f"and {len(ranking) - SHOWN} more", "", "")
    return table


def _told(event: Event) -> str:
    match event["node"]:
        case "tool_select":
            return ", ".join(event["tools"]) or "no tool"
        case "tool_exec":
            return f"{event['tool']}: {event['status']} in {event['seconds']:.2f} s"
        case "fuse":
            return f"{event['frames']} frames drawn" + (", another round" if event["another"] else "")
        case "decompose":
            return "; ".join(item["name"] for item in event["sub_actions"]) or "no sub-actions"
        case _:
            return f"{event['action']} ({event['status']})"


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [part["text"] if part.get("type") == "text" else f"[{part.get('url', 'image')}]" for part in content]
    return "\n".join(parts)
