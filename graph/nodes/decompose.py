"""Fourth node: the policy names ranked sub-actions; each is mapped to the candidates it may speak for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime

from ...tools.knowledge import shortlist
from ...tools.knowledge.explain import explain_actions
from ..candidates import Candidates
from ..policies.grammar import decompose_form
from ..prompts import LONGEST_REPEATED, correction, plain, shortlisted, without_sub_actions
from ..ranking import weights
from ..replies.errors import MalformedReply
from ..replies.sub_actions import normalize_decompose, parse_sub_actions
from ..state import Context, Setup, State, run_tools, worse
from ..turn import Stopwatch, emit, held, speak

NODE = "decompose"
SHORTLIST: Final = 3
"""Candidates per sub-action: the paper's 2 to 3."""


async def decompose(state: State, runtime: Runtime[Context], *, setup: Setup) -> dict[str, Any]:
    """Take the sub-actions, with one correction turn; without any, go on to score the actions as wholes."""
    context = setup.settings(runtime)
    watch = Stopwatch(NODE, state, context.price)
    policy = await setup.speaker(context)
    schemas = run_tools(context)
    actions, notes = state["actions"], list(state["notes"])
    candidates = Candidates.of(actions)
    form = held(policy, context, decompose_form, actions)
    limit = context.policy_seconds
    turns: list[AnyMessage] = []
    found: list[dict[str, Any]] = []
    reply = normalize_decompose(await speak(policy, state["conversation"], watch, limit, schemas, form), candidates)
    try:
        found = parse_sub_actions(reply, candidates)
    except MalformedReply as wrong:
        turns = [plain(reply, LONGEST_REPEATED), correction(str(wrong), NODE)]
        told = [*state["conversation"], *turns]
        reply = normalize_decompose(await speak(policy, told, watch, limit, schemas, form), candidates)
        notes.append(f"sub-actions corrected once: {wrong}")
        try:
            found = parse_sub_actions(reply, candidates)
        except MalformedReply as still:
            notes[-1] = f"no sub-actions, the policy gave none that can be used: {still}"
    sub_actions = await asyncio.to_thread(mapped, found, actions)
    if sub_actions:
        listed = list(dict.fromkeys(label for item in sub_actions for label in item["candidates"]))
        speaker = (await setup.tool_speakers(context)).get("explain_actions")
        # What the explainer has said before stands here, too; it is not asked for more than its tool was.
        known = await asyncio.to_thread(explain_actions, listed, speaker=speaker, ask=False)
        answer = shortlisted(str(reply.tool_calls[0]["id"]), sub_actions, known.summary())
        turns += [reply, answer]
    else:
        turns += [plain(reply, LONGEST_REPEATED), without_sub_actions()]
    named = [{"name": s["name"], "candidates": s["candidates"]} for s in sub_actions]
    emit(runtime, NODE, sub_actions=named, seconds=round(watch.seconds, 3))
    status = worse(state["status"], "ok" if sub_actions else "degraded")
    return {"conversation": turns, "sub_actions": sub_actions, "notes": notes, "status": status, **watch.update()}


def mapped(found: Sequence[Mapping[str, Any]], actions: Sequence[str]) -> list[dict[str, Any]]:
    """Sub-actions with rank, the paper's weight `w_k = n - k + 1`, and 2 to 3 candidates, looked up where not named."""
    return [
        {
            "name": item["name"],
            "rank": k,
            "weight": weight,
            "candidates": item["candidates"][:SHORTLIST] or shortlist(item["name"], actions, SHORTLIST),
            "scores": {},
        }
        for k, (item, weight) in enumerate(zip(found, weights(len(found)), strict=True), 1)
    ]
