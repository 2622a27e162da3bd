"""Fourth node: the policy names ranked sub-actions, and each gets a shortlist of candidates with definitions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime

from ...tools.knowledge import shortlist
from ...tools.knowledge.explain import explain_actions
from ..candidates import Candidates
from ..host import Host, tool_schemas
from ..policies.grammar import decompose_form
from ..prompts import LONGEST_REPEATED, plain, shortlisted, without_sub_actions
from ..ranking import weights
from ..replies.sub_actions import normalize_decompose, parse_sub_actions
from ..state import Context, State, worst
from ..turn import Parsed, Turn, form_for
from ..usage import NodeUsage

NODE = "decompose"
SHORTLIST: Final = 3
"""Maximum number of candidates of a sub-action (the paper: 2 to 3)."""


async def decompose(state: State, runtime: Runtime[Context], *, host: Host) -> dict[str, Any]:
    """Take the sub-actions; if there are none, the candidates are scored as whole actions."""
    context = host.settings(runtime)
    usage = NodeUsage(NODE, state, context.price)
    policy = await host.policy_for(context)
    actions = state["asked"]["actions"]
    candidates = Candidates.of(actions)
    form = form_for(policy, context, decompose_form, actions)
    turn = Turn(policy, usage, context.policy_seconds, tool_schemas(context), form)
    parsed = await turn.ask_for(
        state["conversation"],
        lambda reply: parse_sub_actions(reply, candidates),
        lambda reply: normalize_decompose(reply, candidates),
    )
    sub_actions = await asyncio.to_thread(with_shortlists, parsed.value or [], actions)
    reply = parsed.replies[-1]
    answer: AnyMessage
    if sub_actions:
        definitions = await definitions_of(host, context, sub_actions)
        answer = shortlisted(str(reply.tool_calls[0]["id"]), sub_actions, definitions)
    else:
        reply, answer = plain(reply, LONGEST_REPEATED), without_sub_actions()
    named = [{"name": s["name"], "candidates": s["candidates"]} for s in sub_actions]
    runtime.stream_writer({"node": NODE, "sub_actions": named, "seconds": round(usage.seconds, 3)})
    return {
        "conversation": [*parsed.corrected, reply, answer],
        "sub_actions": sub_actions,
        "notes": [*state["notes"], *_notes(parsed)],
        "status": worst(state["status"], "ok" if sub_actions else "degraded"),
        **usage.update(),
    }


def with_shortlists(found: Sequence[Mapping[str, Any]], actions: Sequence[str]) -> list[dict[str, Any]]:
    """Sub-actions with rank k of n, the weight `w_k = n - k + 1` (paper), and their candidates.

    The candidates are those the policy named, or else the `SHORTLIST` most similar actions.
    """
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


async def definitions_of(host: Host, context: Context, sub_actions: Sequence[Mapping[str, Any]]) -> str:
    """Definitions of all shortlisted candidates, as text."""
    labels = list(dict.fromkeys(label for item in sub_actions for label in item["candidates"]))
    model = (await host.chat_models_for(context)).get("explain_actions")
    # Definitions that the explainer's model wrote before are reused; it is not asked for new ones here.
    return (await asyncio.to_thread(explain_actions, labels, chat_model=model, ask=False)).summary()


def _notes(parsed: Parsed[list[dict[str, Any]]]) -> list[str]:
    if parsed.value is None:
        return [f"no sub-actions, because the policy named none that can be used: {parsed.problems[-1]}"]
    return [f"sub-actions corrected once: {problem}" for problem in parsed.problems]
