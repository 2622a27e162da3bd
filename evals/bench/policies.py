"""Speed-up from concurrent episodes: with one model in this process, and with one vLLM server.

Run as `python -m video_star.evals.bench.policies CHECKPOINT [--vllm MODEL@URL]`: the folder of a Qwen2.5-VL-like model
(the tests make a tiny random one, `tests/tiny_qwen.py`) and the server that serves it. The text of every turn is fixed,
whatever the model samples. Ratios compare with the same backend running one episode at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from .common import temporary_home, verdict

EPISODES: Final = 32
CONCURRENCY: Final = (1, 4, 16)
ACTIONS: Final = ["walk", "run", "hug", "wave"]
TOKENS: Final = 30
"""Tokens that a server samples per turn: the mean length of the fixed texts."""
TARGETS: Final = {"transformers": 2.5, "vllm": 4.0}
REPLIES: Final = {
    "choose": "I look at the frames, and they are enough for me to see what is going on here.",
    "decompose": '<tool_call>\n{"name": "decompose", "arguments": {"sub_actions": [{"name": "legs swing", '
    '"candidates": ["walk", "run"]}]}}\n</tool_call>',
    "score": '<think>The legs swing.</think>\n<scores>{"1": {"walk": 8, "run": 3}}</scores>\n<answer>walk</answer>',
}


def reply(messages: Sequence[BaseMessage]) -> str:
    """The fixed text of this turn: all runs do the same work."""
    from video_star.graph.prompts import requested

    return REPLIES[requested(messages)]


def in_process(path: str) -> BaseChatModel:
    """The model in this process, forced to emit the fixed texts."""
    from video_star.graph.policies.local import TransformersPolicy

    return TransformersPolicy(path=path, forced=reply)


def served(name: str) -> BaseChatModel:
    """A served model that samples `TOKENS` tokens per turn; the graph receives the fixed text instead."""
    from video_star.graph.policies.openai_compatible import vllm_server
    from video_star.graph.policies.vllm import VllmPolicy
    from video_star.graph.replies.tool_calls import parse_hermes

    class FixedReplies(VllmPolicy):
        async def _agenerate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
            result = await super()._agenerate(messages, *args, **options)
            text, calls, _ = parse_hermes(reply(messages))
            message = result.generations[0].message.model_copy(update={"content": text, "tool_calls": calls})
            return ChatResult(generations=[ChatGeneration(message=message)])

    return FixedReplies(server=vllm_server(name), max_new_tokens=TOKENS)


async def measure(policy: BaseChatModel) -> dict[int, float]:
    """Episodes per second by number of concurrent episodes."""
    from video_star.graph import Context, build_graph
    from video_star.tools.video.source import DEMO_CLIP

    star = build_graph(policy=policy, context=Context(frames=4)).compile()
    inputs: Any = {"video": str(DEMO_CLIP), "actions": ACTIONS}
    await star.ainvoke(inputs)  # loads the model, decodes the clip
    rates = {}
    for concurrency in CONCURRENCY:
        limit = asyncio.Semaphore(concurrency)

        async def episode(limit: asyncio.Semaphore = limit) -> None:
            async with limit:
                out = await star.ainvoke(inputs)
                if out["action"] != "walk":
                    raise RuntimeError(f"an episode ended {out['status']}: {out['notes']}")

        start = time.perf_counter()
        await asyncio.gather(*(episode() for _ in range(EPISODES)))
        rates[concurrency] = EPISODES / (time.perf_counter() - start)
    return rates


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per figure; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--vllm", metavar="MODEL@URL")
    options = parser.parse_args(arguments)
    policies = {"transformers": in_process(options.checkpoint)}
    if options.vllm:
        policies["vllm"] = served(options.vllm)
    passed = True
    for backend, policy in policies.items():
        with temporary_home():
            rates = asyncio.run(measure(policy))
        for concurrency, rate in rates.items():
            ratio = f"{rate / rates[1]:5.2f}x one at a time"
            print(f"{backend:<12} {concurrency:>2} at once {rate:8.2f} episodes/s   {ratio}")
        gain, target = rates[CONCURRENCY[-1]] / rates[1], TARGETS[backend]
        text = f"{backend}: {gain:.2f}x at {CONCURRENCY[-1]} at once (target at least {target})"
        passed &= verdict(gain >= target, text)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
