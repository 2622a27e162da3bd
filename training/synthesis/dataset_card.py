"""What a folder of chains holds, summed up in its README.md: yield, reasons, speed, what the chains are like."""

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
from .folder import REJECTED, SETTINGS
from .token_counts import Counted, lengths

Record = Mapping[str, Any]
NAME: Final = "README.md"


def write_card(folder: Path, processor: Any = None) -> Path:
    """Write the card of a folder of chains.

    Args:
        folder: What `synthesize` wrote.
        processor: What counts the tokens of the chains, as `load_processor` gives it; None to leave that out.

    Raises:
        BadRecord: There is no verified chain, or one that cannot be read.
    """
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    chains = list(map(sketch, read(folder)))
    lost = [sketch(record) for record in read(folder / REJECTED)] if (folder / REJECTED / FILE).is_file() else []
    whole = [*chains, *lost]
    sections = [
        "# Chains\n",
        f"{len(chains):,} verified chains of {len(whole):,} tried ({len(chains) / len(whole):.1%}), made by "
        f"`video-star synthesize`. {_speed(whole)}\n",
        _table("Made with", {name: f"`{json.dumps(value, ensure_ascii=False)}`" for name, value in settings.items()}),
        _table("Why chains were rejected; one may break several rules", _counts(r for c in lost for r in c["reasons"])),
        _table("Tools asked", _counts(c["tools"] for c in chains)),
        _table("What chains are like", _features(chains)),
    ]
    if processor is not None:
        counted = lengths(read(folder), MediaStore(folder / "media"), processor)
        name = Path(processor.tokenizer.name_or_path).name
        sections.append(_table(f"Tokens of a chain, by the processor of {name}", _tokens(counted)))
    tried = Counter({c["clip"]: c["label"] for c in whole}.values())
    rows = {
        label: f"{sum(c['label'] == label for c in chains)} chains, {tried[label]} clips" for label in sorted(tried)
    }
    sections.append(_table("Labels", rows))
    write_atomically(folder / NAME, "\n".join(sections).encode())
    return folder / NAME


def sketch(record: Record) -> dict[str, Any]:
    """What the card needs of a record, which may be large."""
    found, verdict = record["recognition"], record["synthesis"]
    turns = [m for m in record["messages"] if m.get("node") == "tool_select" and m.get("author") == "policy"]
    rounds = [[call["name"] for call in turn.get("tool_calls", ())] for turn in turns]
    failed = any(item["status"] != "ok" for item in found["evidence"])
    return {
        "clip": verdict["clip"],
        "label": verdict["label"],
        "reasons": list(verdict["reasons"]),
        **verdict["sitting"],
        "tools": ", ".join(name for asked in rounds for name in asked) or "none",
        "sub-actions": len(found["sub_actions"]),
        "candidates": fmean([len(item["scores"]) for item in found["sub_actions"]] or [0]),
        "pictures": len(image_urls(record["messages"])),
        "failed": failed,
        "recovered": failed and any(rounds[1:]),
    }


def _features(chains: list[dict[str, Any]]) -> dict[str, str]:
    means = {name: fmean(c[name] for c in chains) for name in ("sub-actions", "candidates", "pictures")}
    shares = {name: fmean(c[name] for c in chains) for name in ("failed", "recovered")}
    return {
        "clips": f"{len({c['clip'] for c in chains}):,}",
        "sub-actions, mean": f"{means['sub-actions']:.2f}",
        "candidates scored for a sub-action, mean": f"{means['candidates']:.2f}",
        "pictures, mean": f"{means['pictures']:.1f}",
        "in which a tool failed": f"{shares['failed']:.1%}",
        "in which another tool was asked instead": f"{shares['recovered']:.1%}",
    }


def _tokens(counted: Counted) -> dict[str, str]:
    return {
        "of the whole conversation, mean": f"{counted.whole:,.0f}",
        "of it pictures, mean": f"{counted.pictures:,.0f}",
        "that the policy says, which are learnt, mean": f"{counted.said:,.0f}",
        "of the longest conversation": f"{counted.longest:,}",
    }


def _speed(tried: list[dict[str, Any]]) -> str:
    """How fast it went: the seconds of a sitting are those until its last chain."""
    sittings: dict[str, float] = {}
    for one in tried:
        sittings[one["began"]] = max(one["seconds"], sittings.get(one["began"], 0.0))
    seconds = max(sum(sittings.values()), 0.1)
    return f"It took {seconds:,.0f} s (sittings: {len(sittings)}): {len(tried) / seconds:.2f} tried/s."


def _counts(names: Iterator[str]) -> dict[str, str]:
    return {name: f"{count:,}" for name, count in Counter(names).most_common()}


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {name.replace('|', ' ')} | {value.replace('|', ' ')} |" for name, value in rows.items()]
    return "\n".join([f"| {title} | |", "|---|---|", *lines, ""]) if rows else ""
