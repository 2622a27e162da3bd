"""The embedded policy: a chat model of rules that reads the text of the conversation and nothing else.

It sees no pixels: only the candidates and what the tools wrote. What motion does not show (which object, whose face,
which scene) it cannot tell apart, and it says so when nothing was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from ....tools.errors import OutdatedThread
from ....tools.knowledge import Definition
from ....tools.motion.measurements import Measurements
from ....tools.motion_primitives import OBSERVED, PRIMITIVES
from ...prompts import CANDIDATES, is_outdated, requested
from ...ranking import weigh
from ..base import CONFIDENCE, NO_EVIDENCE, ChatPolicy, Confidence
from .confidence import Support, Way, calibrations
from .matching import forecast, order_fit, posterior
from .reading import read_definitions, read_measurements
from .replies import call, json_after, last_turn, shortlists

DISCRIMINATIVE_TOOLS = ("track_motion", "explain_actions")
"""Tools that discriminate between candidates: measured motion, and what each definition says of motion."""
FALLBACK_TOOL = "estimate_pose"
"""Called only if motion is not on offer: it draws poses for people who inspect the run."""
FEW_ENOUGH_TO_EXPLAIN = 40
MOST_SUB_ACTIONS = 5
UNNAMED_FACTOR = 0.4
"""Factor on a sub-action's score for a candidate whose definition does not name it."""
MEANINGS = {meaning: name for name, meaning in PRIMITIVES.items()}


@dataclass(frozen=True)
class Read:
    """What the conversation so far contains."""

    actions: tuple[str, ...]
    """The candidates in alphabetical order: the order in which they were listed decides nothing."""
    observed: Measurements
    definitions: Mapping[str, Definition]

    @cached_property
    def no_evidence(self) -> str:
        """Why nothing tells the candidates apart; empty if something does."""
        if not self.observed.measured:
            return "no motion was measured"
        if not self.observed.support:
            return "no motion was observed"
        telling = {name for known in self.definitions.values() for name in forecast(known)}
        if not telling & self.observed.support.keys():
            return "nothing that was observed is in the definition of a candidate"
        return ""


class KinematicPolicy(ChatPolicy):
    """Rules over measured motion. Deterministic; needs no weights, no network and no key."""

    @property
    def _llm_type(self) -> str:
        return "kinematic"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if is_outdated(messages):
            raise OutdatedThread(
                "an earlier version of video-star began this thread, and the embedded policy cannot read its texts; "
                "start a new run, or continue the thread with a chat model"
            )
        offered = [tool["function"]["name"] for tool in kwargs.get("tools", ())]
        read, request = read_conversation(messages), requested(messages)
        if request == "decompose":
            reply = decompose(read)
        elif request in ("score", "answer"):
            reply = score(read, shortlists(messages))
        else:
            reply = _choose(read, offered, messages)
        reply.usage_metadata = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        reply.response_metadata["model_name"] = self.model_name
        return ChatResult(generations=[ChatGeneration(message=reply)])


def read_conversation(messages: Sequence[BaseMessage]) -> Read:
    """Candidates, measured motion and definitions, from the text of user and tool turns."""
    actions: tuple[str, ...] = ()
    observed = Measurements()
    definitions: dict[str, Definition] = {}
    for message in messages:
        if not isinstance(message, HumanMessage | ToolMessage):
            continue
        text = message.text
        if not actions:
            actions = tuple(sorted(map(str, json_after(CANDIDATES, text) or ())))
        found = read_measurements(text)
        observed = found if found.measured else observed
        definitions |= read_definitions(text)
    return Read(actions, observed, {label: definitions[label] for label in actions if label in definitions})


def _choose(read: Read, offered: Sequence[str], messages: Sequence[BaseMessage]) -> AIMessage:
    asked = {call["name"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
    few = len(read.actions) <= FEW_ENOUGH_TO_EXPLAIN
    wanted = DISCRIMINATIVE_TOOLS if "track_motion" in offered else (FALLBACK_TOOL, *DISCRIMINATIVE_TOOLS)
    names = [n for n in wanted if n in offered and n not in asked and (few or n != "explain_actions")]
    text = (
        "I need to know what moves and how, and what the candidates mean."
        if names
        else "No other tool would tell me more."
    )
    return AIMessage(text, tool_calls=[call(name) for name in names])


def decompose(read: Read) -> AIMessage:
    """The call of `decompose`: what was observed, most discriminative first."""
    seen = {name: support for name, support in read.observed.support.items() if support >= OBSERVED}
    shares = posterior(read.observed, read.definitions)
    weights = {name: support * _spread(name, read.definitions, shares) for name, support in seen.items()}
    telling = sorted(weights, key=lambda name: -weights[name])[:MOST_SUB_ACTIONS]
    if not telling:
        limit = "No motion was observed, so I can only name the action as a whole; treat my scores as a guess."
        whole = {"name": "the action as a whole", "candidates": list(read.actions[:3])}
        return AIMessage(limit, tool_calls=[call("decompose", sub_actions=[whole])])
    sub_actions = [
        {"name": PRIMITIVES.get(name, name), "candidates": _speaks_for(name, read.definitions, shares)}
        for name in telling
    ]
    return AIMessage(
        "Measured, most discriminative first: " + ", ".join(f"{name} {seen[name]:.2f}" for name in telling) + ".",
        tool_calls=[call("decompose", sub_actions=sub_actions)],
    )


def score(read: Read, lists: Mapping[str, Mapping[str, Any]]) -> AIMessage:
    """The last turn; `lists` as `shortlists` reads them, empty to score the candidates as wholes."""
    shares = posterior(read.observed, read.definitions) if read.definitions else {}
    best = max(shares.values(), default=1.0)
    if not lists:
        believed = sorted(shares, key=lambda label: -shares[label])[:3] or read.actions[:3]
        flat = {label: 0.0 if read.no_evidence else round(10 * shares[label] / best, 1) for label in believed}
        return _turn(read, shares, flat, 0)
    rows = {
        number: {label: _fit(read, entry["sub_action"], label, shares, best) for label in entry["candidates"]}
        for number, entry in lists.items()
    }
    return _turn(read, shares, rows, len(rows))


def _fit(read: Read, sub_action: str, label: str, shares: Mapping[str, float], best: float) -> float:
    """0..10: how clearly the sub-action showed, whether the definition names it, how well the candidate fits in all."""
    if read.no_evidence:
        return 0.0
    name = MEANINGS.get(sub_action, "")
    known = read.definitions.get(label)
    if known is None or not name:
        return 1.0
    named = name in known.primitives
    return round(
        10 * read.observed.support.get(name, 0.0) * (1.0 if named else UNNAMED_FACTOR) * shares[label] / best, 1
    )


def _turn(read: Read, shares: Mapping[str, float], scores: Mapping[str, Any], rows: int) -> AIMessage:
    """The last turn: scores (`rows` sub-actions, or none: candidates as wholes) and the candidate they put first."""
    table = {int(k): row for k, row in scores.items()} if rows else {0: scores}
    totals = weigh(table, rows)
    answer = min(totals, key=lambda label: (-totals[label], -shares.get(label, 0.0), label))
    seen = [f"{name} ({support:.2f})" for name, support in read.observed.support.items() if support >= OBSERVED]
    believed = sorted(shares.items(), key=lambda item: -item[1])[:3]
    ordered = [(label, order_fit(read.observed, read.definitions[label].order)) for label, _ in believed]
    in_time = ", ".join(f"{label} {fit:+.2f}" for label, fit in ordered if fit)
    think = (
        f"Measured: {', '.join(seen) or 'no motion'}. "
        + (f"Fit with the definitions: {', '.join(f'{n} {s:.2f}' for n, s in believed)}. " if believed else "")
        + (f"Agreement with the order in each definition, -1 to 1: {in_time}. " if in_time else "")
        + "I read motion only and cannot recognise objects, faces or scenes."
    )
    reply = last_turn(think, scores, answer)
    way: Way = "sub_actions" if rows else "whole_actions"
    reply.response_metadata[CONFIDENCE] = _confidence(read, shares, totals, answer, way)
    if read.no_evidence:
        reply.response_metadata[NO_EVIDENCE] = read.no_evidence
    return reply


def _confidence(
    read: Read, shares: Mapping[str, float], totals: Mapping[str, float], answer: str, way: Way
) -> Confidence:
    """The calibrated probability that the answer is right, and on what it was calibrated."""
    calibrated_on, by_way = calibrations()
    support = Support.of(answer, totals, shares, read.observed, read.definitions, len(read.actions))
    probability = 1 / len(read.actions) if read.no_evidence else by_way[way].confidence(support)
    return {"probability": round(probability, 4), "calibrated_on": calibrated_on}


def _spread(name: str, definitions: Mapping[str, Definition], shares: Mapping[str, float]) -> float:
    """How far a primitive tells the candidates apart: its forecasts' spread times belief in who forecasts it."""
    chances = {label: forecast(known).get(name, 0.0) for label, known in definitions.items()}
    if not chances:
        return 1.0
    mean = sum(chances.values()) / len(chances)
    spread: float = (sum((chance - mean) ** 2 for chance in chances.values()) / len(chances)) ** 0.5
    return (0.02 + spread) * (0.05 + sum(shares[label] for label, chance in chances.items() if chance > mean))


def _speaks_for(name: str, definitions: Mapping[str, Definition], shares: Mapping[str, float]) -> list[str]:
    """Up to three candidates: those whose definition names the primitive first, the most believed leading."""
    named = [label for label, known in definitions.items() if name in known.primitives]
    order = sorted(shares, key=lambda label: (label not in named, -shares[label]))
    return order[:3]
