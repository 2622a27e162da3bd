"""Why a run answered as it did: one sentence that says only what the record says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from ...tools.registry import watches
from .observations import Measured, Observed

Record = Mapping[str, Any]

LONGEST_LABEL: Final = 60
"""Characters of a label or sub-action that are quoted."""
LONGEST_QUOTE: Final = 160
"""Characters of a tool's report that are quoted."""


def reason(recognition: Record) -> Markup:
    """One sentence as HTML, with everything that the record says escaped; empty without an answer.

    It names what sets the answer apart from the next candidate: the sub-actions on which it leads most, with the times
    of those that were measured. Without scores of sub-actions it says what the tools measured or reported.
    """
    answer = recognition.get("action")
    if not answer:
        return Markup("")
    evidence = [item for item in recognition.get("evidence") or [] if item.get("status") == "ok"]
    measured = Measured.of(evidence)
    return (
        _tie(recognition, answer)
        or _lead(recognition, answer, measured)
        or _measurement(measured)
        or _report(evidence)
        or Markup("No tool reported anything about the video: the answer rests on the model’s reply alone.")
    )


def _tie(recognition: Record, answer: str) -> Markup:
    """That candidates share the highest score."""
    ranking = recognition.get("ranking") or []
    scores = [_number(entry.get("score")) for entry in ranking]
    best = max((score for score in scores if score is not None), default=None)
    first = [str(entry.get("action")) for entry, score in zip(ranking, scores, strict=True) if score == best]
    if best is None or len(first) < 2 or answer not in first:
        return Markup("")
    others = [action for action in first if action != answer]
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return Markup("{}{} {}{} have the same score, {:.2f}: this run does not tell them apart.").format(
        _quoted(answer), "," if more else " and", _quoted(others[0]), more, best
    )


def _lead(recognition: Record, answer: str, measured: Sequence[Measured]) -> Markup:
    """The sub-actions, two at most, on which the answer leads the next candidate most."""
    others = [str(entry.get("action")) for entry in recognition.get("ranking") or []]
    rival = next((action for action in others if action != answer), None)
    leads = []
    for part in recognition.get("sub_actions") or []:
        scores, weight = part.get("scores") or {}, _number(part.get("weight"))
        mine, theirs = _number(scores.get(answer)), _number(scores.get(rival))
        if mine is not None and weight and (lead := weight * (mine - (theirs or 0.0))) > 0:
            leads.append((-lead, part, mine, theirs))
    leads.sort(key=lambda lead: lead[0])
    if not leads:
        return Markup("")
    clauses = []
    for _, part, mine, theirs in leads[:2]:
        name = str(part.get("name"))
        against = "of 10 points" if rival is None else f"points against {'none' if theirs is None else f'{theirs:g}'}"
        clauses.append(Markup("{} ({:g} {}{})").format(_quoted(name), mine, against, _times(name, measured)))
    listed = Markup(" and ").join(clauses)
    if rival is None:
        return Markup("{} scores most on {}.").format(_quoted(answer), listed)
    return Markup("{} leads {} most on {}.").format(_quoted(answer), _quoted(rival), listed)


def _times(name: str, measured: Sequence[Measured]) -> str:
    """When a sub-action was measured, if it is a motion primitive that was."""
    for each in measured:
        for observed in each.observed:
            if observed.meaning == name:
                return f", measured {_span(observed)}"
    return ""


def _measurement(measured: Sequence[Measured]) -> Markup:
    """What was measured most clearly."""
    if not measured:
        return Markup("")
    clearest = sorted((o for each in measured for o in each.observed), key=lambda o: -o.support)
    if not clearest:
        return Markup("{} observed no movement that it can measure.").format(measured[0].tool)
    told = {o.meaning: Markup("that {} ({})").format(o.meaning, _span(o)) for o in reversed(clearest)}
    clauses = list(reversed(told.values()))[:2]
    return Markup("{} measured {}.").format(measured[0].tool, Markup(" and ").join(clauses))


def _report(evidence: Sequence[Record]) -> Markup:
    """What the first tool that looked at the video reported."""
    for item in evidence:
        if watches(str(item.get("tool"))) and str(item.get("summary") or "").strip():
            text = " ".join(str(item["summary"]).split())
            return Markup("{} reported: {}").format(item.get("tool"), _quoted(text, LONGEST_QUOTE))
    return Markup("")


def _span(observed: Observed) -> str:
    return f"from {observed.start:.1f} to {observed.end:.1f} s"


def _quoted(text: str, longest: int = LONGEST_LABEL) -> Markup:
    """The text in quotation marks; its direction does not affect the sentence."""
    short = text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
    return Markup("“<bdi>{}</bdi>”").format(short)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
