"""The README.md of a folder of traces: acceptance rate, reasons of rejection, speed, and what the traces are like."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from ...graph.records.content import image_urls
from ...graph.records.trace import FILE, read
from ...tools.execution.media_store import MediaStore, write_atomically
from .folder import REJECTED, read_settings
from .token_counts import TokenCounts, count_tokens

Record = Mapping[str, Any]
NAME: Final = "README.md"


def write_card(folder: Path, processor: Any = None) -> Path:
    """Write the card of a folder of traces; returns its path.

    Args:
        folder: A folder written by `synthesize`.
        processor: Counts the tokens of the traces, see `load_processor`; None omits that section.

    Raises:
        BadRecord: There is no verified trace, or a record cannot be read.
    """
    accepted = list(map(summarize, read(folder)))
    rejected = [summarize(r) for r in read(folder / REJECTED)] if (folder / REJECTED / FILE).is_file() else []
    attempts = [*accepted, *rejected]
    settings = {name: f"`{json.dumps(value, ensure_ascii=False)}`" for name, value in read_settings(folder).items()}
    reasons = _counts(reason for trace in rejected for reason in trace["reasons"])
    sections = [
        "# Reasoning traces\n",
        f"{len(accepted):,} verified traces from {len(attempts):,} attempts (acceptance rate "
        f"{len(accepted) / len(attempts):.1%}), made by `video-star synthesize`. {_speed(attempts)}\n",
        _table("Settings", settings),
        _table("Reasons of rejection (a trace may break several rules)", reasons),
        _table("Tools called", _counts(trace["tools"] for trace in accepted)),
        _table("Properties of the traces", _properties(accepted)),
    ]
    if processor is not None:
        counts = count_tokens(read(folder), MediaStore(folder / "media"), processor)
        name = Path(processor.tokenizer.name_or_path).name
        sections.append(_table(f"Tokens per trace, by the processor of {name}", _tokens(counts)))
    clips = Counter({trace["clip"]: trace["label"] for trace in attempts}.values())
    rows = {
        label: f"{sum(trace['label'] == label for trace in accepted)} traces, {clips[label]} clips"
        for label in sorted(clips)
    }
    sections.append(_table("Labels", rows))
    write_atomically(folder / NAME, "\n".join(sections).encode())
    return folder / NAME


def summarize(record: Record) -> dict[str, Any]:
    """The properties of a trace that the card and the gallery use; records themselves may be large."""
    recognition, synthesis = record["recognition"], record["synthesis"]
    turns = [m for m in record["messages"] if m.get("node") == "tool_select" and m.get("author") == "policy"]
    rounds = [[call["name"] for call in turn.get("tool_calls", ())] for turn in turns]
    failed = any(item["status"] != "ok" for item in recognition["evidence"])
    # Earlier versions wrote `sitting`.
    session = synthesis["session"] if "session" in synthesis else synthesis["sitting"]
    return {
        "clip": synthesis["clip"],
        "label": synthesis["label"],
        "reasons": list(synthesis["reasons"]),
        **session,
        "tools": ", ".join(name for calls in rounds for name in calls) or "none",
        "sub-actions": len(recognition["sub_actions"]),
        "candidates": fmean([len(item["scores"]) for item in recognition["sub_actions"]] or [0]),
        "images": len(image_urls(record["messages"])),
        "failed": failed,
        "recovered": failed and any(rounds[1:]),
    }


def _properties(traces: list[dict[str, Any]]) -> dict[str, str]:
    mean = {
        name: fmean(trace[name] for trace in traces)
        for name in ("sub-actions", "candidates", "images", "failed", "recovered")
    }
    return {
        "clips": f"{len({trace['clip'] for trace in traces}):,}",
        "sub-actions, mean": f"{mean['sub-actions']:.2f}",
        "candidates scored per sub-action, mean": f"{mean['candidates']:.2f}",
        "images, mean": f"{mean['images']:.1f}",
        "a tool failed": f"{mean['failed']:.1%}",
        "another tool was called instead": f"{mean['recovered']:.1%}",
    }


def _tokens(counts: TokenCounts) -> dict[str, str]:
    return {
        "whole conversation, mean": f"{counts.conversation:,.0f}",
        "of these images, mean": f"{counts.images:,.0f}",
        "trained on (the policy's turns), mean": f"{counts.policy:,.0f}",
        "longest conversation": f"{counts.longest:,}",
    }


def _speed(attempts: list[dict[str, Any]]) -> str:
    """Total time and speed; the duration of a session is the time until its last trace."""
    sessions: dict[str, float] = {}
    for trace in attempts:
        sessions[trace["began"]] = max(trace["seconds"], sessions.get(trace["began"], 0.0))
    seconds = max(sum(sessions.values()), 0.1)
    return f"It took {seconds:,.0f} s (sessions: {len(sessions)}): {len(attempts) / seconds:.2f} attempts/s."


def _counts(names: Iterator[str]) -> dict[str, str]:
    return {name: f"{count:,}" for name, count in Counter(names).most_common()}


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {name.replace('|', ' ')} | {value.replace('|', ' ')} |" for name, value in rows.items()]
    return "\n".join([f"| {title} | |", "|---|---|", *lines, ""]) if rows else ""
