"""Last node: the policy scores the sub-actions against the candidates and answers; the node weighs and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.runtime import Runtime

from ...tools.errors import UnusableAnswer
from ..candidates import Candidates
from ..edits import with_edits
from ..host import Host, tool_schemas
from ..policies.base import CONFIDENCE
from ..policies.grammar import score_form
from ..policies.kinematic.matching import rank_by_evidence
from ..prompts import is_untouched, plain, shortlisted, shortlists_line
from ..ranking import rank, weigh
from ..replies.answer import Scored, parse_score_turn, partial_score_turn
from ..replies.errors import MalformedReply
from ..shortcomings import shortcomings
from ..state import Context, State, Status, worst
from ..turn import Turn, form_for
from ..usage import NodeUsage
from .decompose import definitions_of

NODE = "score"


async def score(state: State, runtime: Runtime[Context], *, host: Host) -> dict[str, Any]:
    """Take the scores and the answer, and conclude with what they or the evidence support."""
    context = host.settings(runtime)
    lists = await _edited_shortlists(state, host, context)
    state = with_edits(state, {"conversation": lists})
    usage = NodeUsage(NODE, state, context.price)
    policy = await host.policy_for(context)
    actions, names = state["asked"]["actions"], [item["name"] for item in state["sub_actions"]]
    candidates = Candidates.of(actions)
    form = form_for(policy, context, score_form, state["sub_actions"], actions)
    turn = Turn(policy, usage, context.policy_seconds, tool_schemas(context), form)
    parsed = await turn.ask_for(state["conversation"], lambda reply: _consistent(reply, candidates, names))
    scored, status = parsed.value, state["status"]
    notes = [*state["notes"], *(f"answer corrected once: {problem}" for problem in parsed.problems[:1])]
    if scored is None:
        partial = (partial_score_turn(reply.text, candidates, names) for reply in reversed(parsed.replies))
        scored = next(filter(None, partial), None)
        notes[-1] = f"answer only partly usable: {parsed.problems[-1]}"
        status = worst(status, "degraded")
    concluded = _conclude(state, scored, notes, status)
    concluded |= _confidence(parsed.replies[-1] if parsed.value is not None else None)
    lacking = shortcomings(state, parsed.replies[-1], concluded["ranking"]) if concluded["action"] else []
    if lacking:
        concluded |= {"notes": [*concluded["notes"], *lacking], "status": worst(concluded["status"], "degraded")}
    event = {"node": NODE, **{name: concluded[name] for name in ("action", "confidence", "status")}}
    runtime.stream_writer({**event, "ranking": concluded["ranking"][:5], "seconds": round(usage.seconds, 3)})
    new = [*lists, *parsed.corrected, plain(parsed.replies[-1])]
    return {"conversation": new, **concluded, **usage.update()}


async def _edited_shortlists(state: State, host: Host, context: Context) -> list[AnyMessage]:
    """The result of `decompose` for edited sub-actions; empty if they are as they were."""
    for message in reversed(state["conversation"]):
        if isinstance(message, ToolMessage) and message.name == "decompose":
            if not state["sub_actions"] or message.text.startswith(shortlists_line(state["sub_actions"])):
                return []
            if not is_untouched(message):
                return []
            definitions = await definitions_of(host, context, state["sub_actions"])
            new = shortlisted(message.tool_call_id, state["sub_actions"], definitions)
            return [new.model_copy(update={"id": message.id})]
    return []


def _consistent(reply: AIMessage, candidates: Candidates, names: Sequence[str]) -> Scored:
    """The scores and the answer of a reply.

    Raises:
        MalformedReply: They cannot be read, or the answer is not the candidate that the weighted scores rank first.
    """
    scored = parse_score_turn(reply.text, candidates, names)
    totals = weigh(scored.scores, len(names))
    best = max(totals.values())
    if totals.get(scored.answer, 0.0) < best - 1e-9:
        first = next(label for label, total in totals.items() if total == best)
        raise MalformedReply(f"your scores put {first!r} first, weighed by rank, but the answer is {scored.answer!r}")
    return scored


def _confidence(reply: AIMessage | None) -> dict[str, Any]:
    """The policy's confidence in the answer of its reply, and on what it was calibrated; None for both without one."""
    given = {} if reply is None else reply.response_metadata.get(CONFIDENCE)
    given = given if isinstance(given, dict) else {}
    probability = given.get("probability")
    if not isinstance(probability, float) or not 0 <= probability <= 1:
        return {"confidence": None, "calibrated_on": None}
    return {"confidence": probability, "calibrated_on": str(given.get("calibrated_on") or "unknown data")}


def _conclude(state: State, scored: Scored | None, notes: list[str], status: Status) -> dict[str, Any]:
    """Answer, ranking and status: from the reply, or else from the evidence alone, or else an error."""
    actions = state["asked"]["actions"]
    if scored is not None:
        sub_actions = state["sub_actions"]
        totals = weigh(scored.scores, len(sub_actions))
        return {
            "action": scored.answer,
            "ranking": rank(actions, totals, scored.answer),
            "sub_actions": [{**item, "scores": scored.scores.get(item["rank"], {})} for item in sub_actions],
            "status": status,
            "notes": notes,
        }
    supported = rank_by_evidence(state["evidence"], actions)
    if supported:
        ranking = rank(actions, supported)
        notes = [*notes, "the policy gave no usable answer; the ranking rests on the measured evidence alone"]
        return {"action": ranking[0]["action"], "ranking": ranking, "status": "degraded", "notes": notes}
    return {
        "action": None,
        "ranking": [],
        "status": "failed",
        "error": "the policy gave no usable answer, even after a correction, and no tool measured anything",
        "error_type": UnusableAnswer.__name__,
        "notes": notes,
    }
