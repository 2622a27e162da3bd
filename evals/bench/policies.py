"""What it gains to run episodes at once: around one model in this process, and around one vLLM server.

Run as `python -m video_star.evals.bench.policies CHECKPOINT [--vllm MODEL@URL]`, with a folder of a Qwen2.5-VL-like
model (the tests make a tiny random one: `tests/tiny_qwen.py`) and the server that serves it. Every turn says the same
whatever the model would say; the same backend with one episode after the other is what each ratio is against.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

EPISODES: Final = 32
AT_ONCE: Final = (1, 4, 16)
ACTIONS: Final = ["walk", "run", "hug", "wave"]
TOKENS: Final = 30
"""Sampled in a turn of a server: the mean length of the words."""
TARGETS: Final = {"transformers": 2.5, "vllm": 4.0}
WORDS: Final = {
    "choose": "I look at the frames, and they are enough for me to see what is going on here.",
    "decompose": '<tool_call>\n{"name": "decompose", "arguments": {"sub_actions": [{"name": "legs swing", '
    '"candidates": ["walk", "run"]}]}}\n</tool_call>',
    "score": '<think>The legs swing.</think>\n<scores>{"1": {"walk": 8, "run": 3}}</scores>\n<answer>walk</answer>',
}


def words(messages: Sequence[BaseMessage]) -> str:
    """What each turn must say, so that all runs do the same work."""
    from video_star.graph.prompts import requested

    return WORDS[requested(messages)]


def in_process(path: str) -> BaseChatModel:
    """The model in this process, held to its words."""
    from video_star.graph.policies.local import TransformersPolicy

    return TransformersPolicy(path=path, forced=words)


def served(name: str) -> BaseChatModel:
    """The model of a server. It samples `TOKENS` a turn, whatever they are; the graph hears the words instead."""
    from video_star.graph.policies.openai_compatible import vllm_server
    from video_star.graph.policies.vllm import VllmPolicy
    from video_star.graph.replies.tool_calls import parse_hermes

    class Held(VllmPolicy):
        async def _agenerate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
            result = await super()._agenerate(messages, *args, **options)
            said, calls, _ = parse_hermes(words(messages))
            message = result.generations[0].message.model_copy(update={"content": said, "tool_calls": calls})
            return ChatResult(generations=[ChatGeneration(message=message)])

    return Held(server=vllm_server(name), max_new_tokens=TOKENS)


async def measure(policy: BaseChatModel) -> dict[int, float]:
    """Episodes per second by how many run at once."""
    from video_star.graph import Context, build_graph

    star = build_graph(policy=policy, context=Context(frames=4)).compile()
    asked: Any = {"video": str(files("video_star.tools") / "clips" / "people_walking.mp4"), "actions": ACTIONS}
    await star.ainvoke(asked)  # loads the model, decodes the clip
    rates = {}
    for at_once in AT_ONCE:
        gate = asyncio.Semaphore(at_once)

        async def episode(gate: asyncio.Semaphore = gate) -> None:
            async with gate:
                out = await star.ainvoke(asked)
                if out["action"] != "walk":
                    raise RuntimeError(f"an episode ended {out['status']}: {out['notes']}")

        began = time.perf_counter()
        await asyncio.gather(*(episode() for _ in range(EPISODES)))
        rates[at_once] = EPISODES / (time.perf_counter() - began)
    return rates


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per figure; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--vllm", metavar="MODEL@URL")
    asked = parser.parse_args(arguments)
    policies = {"transformers": in_process(asked.checkpoint)}
    if asked.vllm:
        policies["vllm"] = served(asked.vllm)
    missed = 0
    for backend, policy in policies.items():
        with tempfile.TemporaryDirectory() as home:
            os.environ["VIDEO_STAR_HOME"] = home
            rates = asyncio.run(measure(policy))
        for at_once, rate in rates.items():
            print(f"{backend:<12} {at_once:>2} at once {rate:8.2f} episodes/s   {rate / rates[1]:5.2f}x one at a time")
        gain = rates[AT_ONCE[-1]] / rates[1]
        good = gain >= TARGETS[backend]
        missed += not good
        print(
            f"{'PASS' if good else 'FAIL'}  {backend}: {gain:.2f}x at {AT_ONCE[-1]} at once "
            f"(target at least {TARGETS[backend]})"
        )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
