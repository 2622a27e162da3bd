"""Rules that a reasoning trace must pass to become training data. Pure functions of a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final

from ...graph.candidates import normalize_label
from ...graph.policies.kinematic.reading import read_measurements
from ...graph.ranking import weigh
from ...graph.records.content import content_text
from ...tools.knowledge.entries import words
from ...tools.motion.measurements import Measurements
from ...tools.motion_primitives import PRIMITIVES
from ..rewards import accuracy, well_formed

Record = Mapping[str, Any]
LEAST: Final = 2
"""Fewest sub-actions of a trace."""
SHARED: Final = 0.5
"""Proportion of a sub-action's content words that the evidence must contain."""
LONGEST: Final = 6000
"""Most characters of one turn of the policy."""
_STEM: Final = 5
"""Letters by which words are compared: step, steps and stepping agree."""
_TELLS: Final = re.compile(
    r"\b(?:ground.?truth|(?:true|correct|given|provided|right) (?:label|answer|action) (?:is|was)"
    r"|file ?name|as (?:labelled|annotated)|i was told|according to the label)\b",
    re.IGNORECASE,
)
_FILES: Final = re.compile(r"[\w-]+\.(?:mp4|avi|webm|mkv|mov)\b", re.IGNORECASE)
TELLS_MOVEMENT: Final = ("track_motion", "describe_video")
"""Tools that report what happens; positions of people and definitions are no evidence of that."""
_TEXTS: Final = re.compile(rf"^From (?:{'|'.join(TELLS_MOVEMENT)}):$(.*?)(?=^From \w+:$|\Z)", re.MULTILINE | re.DOTALL)


def reasons(record: Record, label: str, clip: str) -> dict[str, str]:
    """Why a trace is rejected: name of the rule to what is wrong; empty if nothing is.

    Args:
        record: A run, as `graph.record` keeps it.
        label: The right action.
        clip: Path of the video, whose name no turn may repeat.
    """
    if record["recognition"]["status"] == "failed":
        return {"failed": str(record["recognition"]["error"])[:200]}
    found = {rule.__name__: rule(record, label, clip) for rule in RULES}
    return {name: wrong for name, wrong in found.items() if wrong}


def wrong_answer(record: Record, label: str, clip: str) -> str:
    """The answer is wrong."""
    return "" if accuracy(record, label) else f"answered {record['recognition']['action']!r}"


def form(record: Record, label: str, clip: str) -> str:
    """A turn was corrected, repaired or too long; a trace is an example of the exact format."""
    if not well_formed(record):
        return "a turn was corrected, or the last is not thought, scores and answer alone"
    long = [node for node, said in _said(record) if len(said) > LONGEST]
    return f"the turn in {long[0]} is longer than {LONGEST} characters" if long else ""


def few_sub_actions(record: Record, label: str, clip: str) -> str:
    """Fewer than two sub-actions."""
    count = len(record["recognition"]["sub_actions"])
    return "" if count >= LEAST else f"{count} sub-actions"


def unsupported(record: Record, label: str, clip: str) -> str:
    """A sub-action that no evidence mentions, or that was measurable and not observed.

    Where no tool said what happens there is nothing to hold a sub-action against: pictures are the verifier's.
    """
    evidence = _evidence(record)
    if not evidence:
        return ""
    unseen = {PRIMITIVES[name] for name in _measurements(record, evidence).not_observed}
    held = _content(evidence)
    for item in record["recognition"]["sub_actions"]:
        wanted = _content(item["name"])
        if item["name"] in unseen:
            return f"{item['name']!r} was looked for and not seen"
        if wanted and len(wanted & held) < SHARED * len(wanted):
            return f"{item['name']!r} stands in no evidence"
    return ""


def inconsistent(record: Record, label: str, clip: str) -> str:
    """The scores put another candidate first than the answer, or leave a sub-action without two scored candidates."""
    listed = record["recognition"]["sub_actions"]
    for item in listed:
        if len(item["scores"]) < min(2, len(record["request"]["actions"])):
            return f"sub-action {item['rank']} scores fewer than two candidates"
    totals = weigh({item["rank"]: item["scores"] for item in listed}, len(listed))
    answer = record["recognition"]["action"]
    best = max(totals.values(), default=0.0)
    return "" if totals.get(answer, 0.0) >= best > 0 else f"the scores put another action before {answer!r}"


def leak(record: Record, label: str, clip: str) -> str:
    """A turn knows what the conversation does not contain: the label, the file, or the answer before evidence."""
    said = _said(record)
    text = "\n".join(words for _, words in said)
    if (match := _TELLS.search(text)) or (match := _FILES.search(text)):
        return f"says {match.group()!r}"
    if (name := PurePath(clip).stem) and len(name) > 3 and name.casefold() in text.casefold():
        return "names the file"
    first = [words for node, words in said if node == "tool_select"][:1]
    opening = normalize_label(first[0]) if first else ""
    named = {action for action in record["request"]["actions"] if normalize_label(action) in opening}
    return f"names {label!r} before any evidence" if named == {label} and len(record["request"]["actions"]) > 1 else ""


Rule = Callable[[Record, str, str], str]
RULES: Final[tuple[Rule, ...]] = (wrong_answer, form, few_sub_actions, unsupported, inconsistent, leak)


def fingerprint(record: Record) -> str:
    """Equal for two traces with the same text and calls of the policy."""
    said = "\n".join(" ".join(text.split()) for _, text in _said(record))
    return sha256(said.encode(errors="replace")).hexdigest()


def _said(record: Record) -> list[tuple[str, str]]:
    """(node, text and calls) of the policy's turns."""
    return [
        (message["node"], "\n".join([content_text(message["content"]), *(str(call) for call in _calls(message))]))
        for message in record["messages"]
        if message.get("author") == "policy"
    ]


def _calls(message: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for call in message.get("tool_calls", ()):
        yield call["name"], call["args"]


def _evidence(record: Record) -> str:
    """What tools reported of the motion, as text."""
    tools = [
        content_text(m["content"])
        for m in record["messages"]
        if m["role"] == "tool" and m.get("name") in TELLS_MOVEMENT
    ]
    joined = [content_text(m["content"]) for m in record["messages"] if m.get("node") == "fuse"]
    texts = [text for whole in joined for text in _TEXTS.findall(whole)]
    seen = [text for text in (*tools, *texts) if not text.startswith(("unavailable:", "done;"))]
    return "\n".join(seen)


def _measurements(record: Record, evidence: str) -> Measurements:
    """What `track_motion` measured; records of earlier versions have it in the text only."""
    items = record["recognition"]["evidence"]
    measured = next((item["measured"] for item in items if item.get("measured")), None)
    return Measurements.from_json(measured) if measured else read_measurements(evidence)


def _content(text: str) -> set[str]:
    """Stems of content words."""
    return {word[:_STEM] for word in words(text) if len(word) > 3}
