"""Overhead of the state machine: an episode with a policy and a tool that answer immediately.

Run as `python -m video_star.evals.bench.overhead`. The alternative is a plain async loop that makes the same policy
calls and the same tool call and reads the same frames. Policy and tool take no time and the clip is already decoded;
what remains is LangGraph, our nodes, the media store, and inlining the pictures for each turn.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from .common import temporary_home, verdict

ROUNDS = 60
ACTIONS = ["walk", "run", "hug", "wave"]
LABELS = '{"1": {"walk": 9, "run": 4}, "2": {"walk": 7, "run": 6}}'
REPLIES = {
    "choose": AIMessage("Look.", tool_calls=[ToolCall(name="explain_actions", args={}, id="a")]),
    "decompose": AIMessage(
        "", tool_calls=[ToolCall(name="decompose", args={"sub_actions": [{"name": "a"}, {"name": "b"}]}, id="b")]
    ),
    "score": AIMessage(f"<think>.</think><scores>{LABELS}</scores><answer>walk</answer>"),
}


class Instant(BaseChatModel):
    """A policy that answers immediately and measures the time LangChain spends on each call."""

    _seconds: float = PrivateAttr(default=0.0)

    def reset(self) -> float:
        """Seconds inside calls since the last reset."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    async def agenerate_prompt(self, *args: Any, **kwargs: Any) -> LLMResult:
        """Time the whole call, including LangChain's own work."""
        start = time.perf_counter()
        result = await super().agenerate_prompt(*args, **kwargs)
        self._seconds += time.perf_counter() - start
        return result

    @property
    def _llm_type(self) -> str:
        return "instant"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Bind tools."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        from video_star.graph.prompts import requested

        reply = REPLIES[requested(messages)]
        return ChatResult(generations=[ChatGeneration(message=reply.model_copy())])

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError


async def plain_loop(clip_path: str, policy: Instant) -> float:
    """Seconds for the same calls without a graph."""
    from video_star.graph.candidates import Candidates
    from video_star.graph.frames import policy_frames
    from video_star.graph.host import tool_schemas
    from video_star.graph.messages import as_sent
    from video_star.graph.nodes.decompose import with_shortlists
    from video_star.graph.prompts import fused, opening, shortlisted
    from video_star.graph.replies.answer import parse_score_turn
    from video_star.graph.replies.sub_actions import parse_sub_actions
    from video_star.graph.state import Context
    from video_star.tools.execution.media_store import default_store
    from video_star.tools.registry import tool
    from video_star.tools.video.clip import open_clip

    start, store, context = time.perf_counter(), default_store(), Context()
    candidates = Candidates.of(ACTIONS)
    clip = await asyncio.to_thread(open_clip, clip_path)
    frames = await asyncio.to_thread(policy_frames, clip, context.frames, context.pixels, store)
    about = {"start": clip.start, "end": clip.end}
    messages: list[Any] = opening(ACTIONS, None, about, frames, "choose")
    schemas = tool_schemas(context)
    messages.append(await policy.bind_tools(schemas).ainvoke(await asyncio.to_thread(as_sent, messages, store)))
    found = await asyncio.to_thread(tool("explain_actions").run, clip, ACTIONS, 8)
    messages += [ToolMessage("done", tool_call_id="a"), fused([("explain_actions", found.summary)], [], "decompose")]
    reply = await policy.bind_tools(schemas).ainvoke(await asyncio.to_thread(as_sent, messages, store))
    sub_actions = with_shortlists(parse_sub_actions(reply, candidates), ACTIONS)
    messages += [reply, shortlisted("b", sub_actions, found.summary)]
    last = await policy.bind_tools(schemas).ainvoke(await asyncio.to_thread(as_sent, messages, store))
    parse_score_turn(last.text, candidates, ["a", "b"])
    return time.perf_counter() - start


async def bare_tool(clip_path: str) -> float:
    """Seconds for the tool call alone, which does not count as overhead."""
    from video_star.tools.registry import tool
    from video_star.tools.video.clip import open_clip

    clip = open_clip(clip_path)
    start = time.perf_counter()
    await asyncio.to_thread(tool("explain_actions").run, clip, ACTIONS, 8)
    return time.perf_counter() - start


async def measure() -> tuple[list[float], ...]:
    """Seconds for the episode, its policy calls, its tool call and the plain loop, one of each per round."""
    from video_star.graph import build_graph
    from video_star.tools.video.source import DEMO_CLIP

    clip, policy = str(DEMO_CLIP), Instant()
    star = build_graph(policy=policy).compile()
    episodes, policies, tools, plain = [], [], [], []
    for round_number in range(ROUNDS + 5):
        start = time.perf_counter()
        out = await star.ainvoke({"video": clip, "actions": ACTIONS})
        seconds = time.perf_counter() - start
        if out["status"] != "ok":
            raise RuntimeError(f"the episode ended {out['status']}: {out['notes']}")
        policy_seconds = policy.reset()
        loop, tool_seconds = await plain_loop(clip, policy), await bare_tool(clip)
        policy.reset()
        if round_number >= 5:
            episodes.append(seconds)
            policies.append(policy_seconds)
            tools.append(tool_seconds)
            plain.append(loop)
    return episodes, policies, tools, plain


def main() -> int:
    """Print one line per figure; 1 if a target is missed."""
    with temporary_home():
        measured = asyncio.run(measure())
    episodes, policies, tools, plain = measured
    episode, policy, tool_alone, loop = (1000 * statistics.median(values) for values in measured)
    overhead = 1000 * statistics.median(e - p - t for e, p, t in zip(episodes, policies, tools, strict=True))
    ratio = statistics.median(a / b for a, b in zip(episodes, plain, strict=True))
    print(f"{'episode':<40}{episode:8.2f} ms")
    print(f"{'  of which three policy calls':<40}{policy:8.2f} ms")
    print(f"{'  of which the tool call':<40}{tool_alone:8.2f} ms")
    print(f"{'same calls in a plain async loop':<40}{loop:8.2f} ms")
    passed = [
        verdict(overhead < 15, f"overhead {overhead:.2f} ms (target under 15)"),
        verdict(ratio < 1.5, f"episode / plain loop {ratio:.2f}x (target under 1.5)"),
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
