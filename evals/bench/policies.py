"""What it gains to run episodes at once around one model in this process.

Run as `python -m video_star.evals.bench.policies CHECKPOINT`, with a folder of a Qwen2.5-VL-like model (the tests make
a tiny random one: `tests/tiny_qwen.py`). Every turn has the same number of tokens whatever the model would say;
episodes one after the other are the alternative that the ratio is against.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from langchain_core.messages import BaseMessage

EPISODES = 16
AT_ONCE = (1, 4, 16)
ACTIONS = ["walk", "run", "hug", "wave"]
TARGET = 2.5
WORDS = {
    "choose": "I look at the frames, and they are enough for me to see what is going on here.",
    "decompose": '<tool_call>\n{"name": "decompose", "arguments": {"sub_actions": [{"name": "legs swing", '
    '"candidates": ["walk", "run"]}]}}\n</tool_call>',
    "score": '<think>The legs swing.</think>\n<scores>{"1": {"walk": 8, "run": 3}}</scores>\n<answer>walk</answer>',
}


def words(messages: Sequence[BaseMessage]) -> str:
    """What each turn must say, so that all runs do the same work."""
    from video_star.graph.kinematic.policy import request

    return WORDS[request(messages)]


async def measure(path: str) -> dict[int, float]:
    """Episodes per second by how many run at once."""
    from video_star.graph import Context, build_graph
    from video_star.graph.policies.in_process import TransformersPolicy

    policy = TransformersPolicy(path=path, forced=words)
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


def main() -> int:
    """Print one line per figure; 1 when the target is missed."""
    if len(sys.argv) != 2:
        print("give the folder of a checkpoint", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as home:
        os.environ["VIDEO_STAR_HOME"] = home
        rates = asyncio.run(measure(sys.argv[1]))
    for at_once, rate in rates.items():
        print(f"transformers, {at_once:>2} at once {rate:8.2f} episodes/s   {rate / rates[1]:5.2f}x one at a time")
    gain = rates[AT_ONCE[-1]] / rates[1]
    print(f"{'PASS' if gain >= TARGET else 'FAIL'}  {gain:.2f}x at {AT_ONCE[-1]} at once (target at least {TARGET})")
    return 0 if gain >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
