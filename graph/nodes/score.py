"""Last node: the policy scores sub-actions against candidates and answers; the node weighs, checks and concludes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime

from ..candidates import Candidates
from ..policies.grammar import score_form
from ..policies.kinematic.matching import rank_by_evidence
from ..prompts import LONGEST_REPEATED, correction, plain
from ..ranking import rank, weigh
from ..replies.answer import Scored, parse_score_turn, partial_score_turn
from ..replies.errors import MalformedReply
from ..state import Context, Setup, State, Status, run_tools, worse
from ..turn import Stopwatch, emit, held, speak

NODE = "score"


async def score(state: State, runtime: Runtime[Context], *, setup: Setup) -> dict[str, Any]:
    """Take scores and answer, with one correction turn; conclude with what can be supported."""
    context = setup.settings(runtime)
    watch = Stopwatch(NODE, state, context.price)
    policy = await setup.speaker(context)
    actions, notes = state["actions"], list(state["notes"])
    candidates = Candidates.of(actions)
    names = [item["name"] for item in state["sub_actions"]]
    limit, schemas = context.policy_seconds, run_tools(context)
    form = held(policy, context, score_form, state["sub_actions"], actions)
    reply = await speak(policy, state["conversation"], watch, limit, schemas, form)
    turns: list[AnyMessage] = [plain(reply)]
    scored: Scored | None
    status: Status = "ok"
    try:
        scored = _consistent(reply.text, candidates, names)
    except MalformedReply as wrong:
        asked = correction(str(wrong), NODE)
        turns = [plain(reply, LONGEST_REPEATED), asked]
        told = [*state["conversation"], *turns]
        again = await speak(policy, told, watch, limit, schemas, form)
        turns.append(plain(again))
        try:
            scored = _consistent(again.text, candidates, names)
            notes.append(f"answer corrected once: {wrong}")
        except MalformedReply as still:
            scored = partial_score_turn(again.text, candidates, names)
            scored = scored or partial_score_turn(reply.text, candidates, names)
            notes.append(f"answer only partly usable: {still}")
            status = "degraded"
    concluded = _conclude(state, scored, notes, worse(state["status"], status))
    emit(
        runtime, NODE, action=concluded["action"], status=concluded["status"], ranking=concluded["ranking"][:5],
        seconds=round(watch.seconds, 3),
    )  # fmt: skip
    return {"conversation": turns, **concluded, **watch.update()}


def _consistent(text: str, candidates: Candidates, names: Sequence[str]) -> Scored:
    """A parsed turn whose answer is the candidate its own weighted scores put first."""
    scored = parse_score_turn(text, candidates, names)
    totals = weigh(scored.scores, len(names))
    best = max(totals.values())
    if totals.get(scored.answer, 0.0) < best - 1e-9:
        first = next(label for label, total in totals.items() if total == best)
        raise MalformedReply(f"your scores put {first!r} first, weighed by rank, but the answer is {scored.answer!r}")
    return scored


def _conclude(state: State, scored: Scored | None, notes: list[str], status: Status) -> dict[str, Any]:
    """Answer, ranking and status: from the turn, else from the evidence alone, else a typed failure."""
    actions = state["actions"]
    sub_actions = state["sub_actions"]
    if scored is not None:
        totals = weigh(scored.scores, len(sub_actions))
        ranking = rank(actions, totals, scored.answer)
        sub_actions = [{**item, "scores": scored.scores.get(item["rank"], {})} for item in sub_actions]
        return {
            "action": scored.answer,
            "ranking": ranking,
            "sub_actions": sub_actions,
            "status": status,
            "notes": notes,
        }
    supported = rank_by_evidence([item["summary"] for item in state["evidence"] if item["status"] == "ok"], actions)
    if supported:
        ranking = rank(actions, supported)
        notes = [*notes, "the policy gave no usable answer; the ranking rests on the measured evidence alone"]
        return {"action": ranking[0]["action"], "ranking": ranking, "status": "degraded", "notes": notes}
    error = "UnusableAnswer: the policy gave no usable answer, also when asked again, and no tool measured anything"
    return {"action": None, "ranking": [], "status": "failed", "error": error, "notes": notes}
