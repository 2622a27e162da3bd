"""A teacher of rules that knows the right answer and what the clip shows, and says only what the evidence bears out.

It varies what people vary: which tools are asked, in which words, how many parts an action is broken into, what is
weighed against what, where it hesitates, and what it does when a tool fails. Its chains pass the same rules as any
other teacher's. Everything it says comes from the conversation, the knowledge base and the true order of movements; the
label steers which of it is said.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import yaml
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from ...graph.policies.kinematic.matching import posterior
from ...graph.policies.kinematic.policy import KinematicPolicy, Read, read_conversation
from ...graph.policies.kinematic.replies import call, last_turn, shortlists
from ...graph.prompts import requested
from ...tools.motion_primitives import PRIMITIVES
from .sub_actions import Part, definition, in_order, parts, reversed_by, scored

PLANS: Final[Mapping[tuple[str, ...], int]] = {
    ("track_motion", "explain_actions"): 30,
    ("track_motion",): 15,
    ("track_motion", "estimate_pose"): 5,
    ("track_motion", "estimate_pose", "explain_actions"): 10,
    ("estimate_pose", "explain_actions"): 5,
    ("detect_people", "track_motion", "explain_actions"): 8,
    ("describe_video", "track_motion"): 7,
    ("describe_video", "track_motion", "explain_actions"): 5,
    ("explain_actions",): 3,
    (): 12,
}
"""Tools called in the first round, with weights."""
INSTEAD: Final = ("track_motion", "estimate_pose", "describe_video")
"""Called in this order if a tool failed and nothing was measured."""
BORNE_OUT: Final = 0.3
"""Smallest ratio of the right candidate's posterior to the best one's for it to be the answer."""
HESITATES: Final = 0.3
"""Proportion of traces with second thoughts, if the evidence gives cause."""
TELLS_ORDER: Final = 0.5
"""Proportion of traces that mention the order of two movements when no candidate has the reverse."""


class ScriptedTeacher(KinematicPolicy):
    """The teacher of one run. Deterministic for a given seed."""

    label: str
    """The right answer, one of the candidates."""
    shown: Mapping[str, str] = {}
    """Motion primitives that truly occur in the clip, in order, with their meanings; empty if not known."""
    seed: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        spoken = sum(isinstance(message, AIMessage) for message in messages)
        say = Sayings(random.Random(f"{self.seed} {spoken} {self.label}"))
        read, request = read_conversation(messages), requested(messages)
        if request in ("choose", "choose_more"):
            offered = [tool["function"]["name"] for tool in kwargs.get("tools", ())]
            reply = _choose(read, messages, offered, bool(self.shown), say)
        elif request == "decompose":
            found = parts(read, self._answer(read), self.shown, say.chance)
            reply = AIMessage(
                say("break_down", first=found[0].name),
                tool_calls=[call("decompose", sub_actions=[p.as_argument() for p in found])],
            )
        else:
            reply = self._score(read, messages, say)
        reply.usage_metadata = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def _answer(self, read: Read) -> str:
        """The right action, or another one that measurements or their order clearly support."""
        if not read.observed.measured:
            return self.label
        if reverse := reversed_by(self.label, read):
            return reverse
        shares = posterior(read.observed, {action: definition(action, read) for action in read.actions})
        best = max(shares, key=shares.__getitem__)
        return best if shares.get(self.label, 0.0) < BORNE_OUT * shares[best] else self.label

    def _score(self, read: Read, messages: Sequence[BaseMessage], say: Sayings) -> AIMessage:
        lists, answer = shortlists(messages), self._answer(read)
        if not lists:
            (other,) = say.chance.sample([action for action in read.actions if action != answer], 1)
            flat = {answer: say.chance.randint(7, 10), other: say.chance.randint(1, 5)}
            return last_turn(say("conclude", label=answer), flat, answer)
        rows = scored(read, answer, self.shown, lists, say.chance)
        lines = [_item(part, answer, say) for part in rows]
        if failed := unavailable(messages):
            lines.insert(0, say("without", failed=failed[0]))
        lines += _in_order(read, answer, self.shown, say)
        if say.chance.random() < HESITATES:
            lines += _second_thoughts(read, rows, answer, say)
        lines.append(say("conclude", label=answer))
        return last_turn("\n".join(lines), {str(part.rank): part.scores for part in rows}, answer)


class Sayings:
    """Randomly chosen phrases by occasion."""

    def __init__(self, chance: random.Random) -> None:
        """Draw with `chance`."""
        self.chance = chance

    def __call__(self, occasion: str, **slots: Any) -> str:
        """One phrase for the occasion."""
        return self.chance.choice(_phrases()[occasion]).format(**slots)


@lru_cache(maxsize=1)
def _phrases() -> dict[str, list[str]]:
    text = (files("video_star.training.synthesis") / "phrases.yaml").read_text(encoding="utf-8")
    found: dict[str, list[str]] = yaml.safe_load(text)
    return found


def unavailable(messages: Sequence[BaseMessage]) -> list[str]:
    """The tools that were unavailable."""
    return [
        str(message.name)
        for message in messages
        if isinstance(message, ToolMessage) and message.text.startswith("unavailable:")
    ]


def _choose(read: Read, messages: Sequence[BaseMessage], offered: Sequence[str], sees: bool, say: Sayings) -> AIMessage:
    """Tools to call. A teacher that does not know what the frames show (`sees`) always has motion measured."""
    asked = {c["name"] for message in messages if isinstance(message, AIMessage) for c in message.tool_calls}
    failed = unavailable(messages)
    if asked:
        again = [name for name in INSTEAD if name in offered and name not in asked]
        if failed and not read.observed.measured and again:
            return AIMessage(say("recover", failed=failed[0], next=again[0]), tool_calls=[call(again[0])])
        return AIMessage(say("enough"))
    plans = {plan: weight for plan, weight in PLANS.items() if sees or "track_motion" in plan}
    (plan,) = say.chance.choices(list(plans), list(plans.values()))
    names = [name for name in plan if name in offered]
    if not names:
        return AIMessage(say("frames_enough"))
    one, other = say.chance.sample(list(read.actions), 2)
    text = say("need", one=one, other=other)
    if "explain_actions" in names:
        text += " " + say("need_meaning")
    return AIMessage(text, tool_calls=[call(name) for name in names])


def _in_order(read: Read, answer: str, shown: Mapping[str, str], say: Sayings) -> list[str]:
    """The order of two movements, if known: always when another candidate has the reverse."""
    found = in_order(answer, read, shown, say.chance)
    if found is None or (not found.reverse and say.chance.random() >= TELLS_ORDER):
        return []
    line = say("in_order", first=found.first, then=found.then, where=found.where, label=answer)
    return [f"{line} {say('reverse', other=found.reverse)}" if found.reverse else line]


def _second_thoughts(read: Read, rows: Sequence[Part], answer: str, say: Sayings) -> list[str]:
    """A rival and a primitive it would need that was not observed; nothing if there is none."""
    rivals = {name: sum(part.scores.get(name, 0) for part in rows) for part in rows for name in part.scores}
    for other in sorted(rivals.keys() - {answer}, key=lambda name: (-rivals[name], name)):
        for part in definition(other, read).sub_actions[:2]:
            for name in part.primitives:
                if name in read.observed.measured and name not in read.observed.support:
                    return [say("second_thoughts", other=other, missing=PRIMITIVES[name])]
    return []


def _item(part: Part, label: str, say: Sayings) -> str:
    """A line on one sub-action: its evidence, and its score for each candidate."""
    fits = part.scores.get(label, 0) >= 6
    slots = {"n": part.rank, "part": part.name, "where": part.where, "label": label}
    line = [say("item_fits" if fits else "item_partly", score=f"{part.scores.get(label, 0):g}", **slots)]
    for other, score in part.scores.items():
        if other != label:
            line.append(say("other_fits" if score >= 6 else "other_fails", other=other, score=f"{score:g}"))
    return " ".join(line)
