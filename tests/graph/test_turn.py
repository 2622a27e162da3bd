"""What nodes share: work set aside, pictures inlined for one call, time and tokens kept."""

import asyncio
import subprocess
import sys
import time
from contextvars import ContextVar
from typing import Any, ClassVar

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage

from video_star.graph.policies.grammar import decompose_form
from video_star.graph.state import Context, Price
from video_star.graph.turn import Stopwatch, aside, held, inline
from video_star.tools.execution.media_store import default_store

from .conftest import Scripted

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


async def test_work_set_aside_returns_raises_and_keeps_its_context() -> None:
    WHO.set("somebody")
    assert await aside(lambda a, b: (a + b, WHO.get()), 1, 2) == (3, "somebody")
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 / 0)


def test_work_that_hangs_is_not_waited_for_when_the_program_ends() -> None:
    program = (
        "import asyncio, time\n"
        "from video_star.graph.turn import aside\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.1): await aside(time.sleep, 60)\n"
        "    except TimeoutError: print('left behind')\n"
        "asyncio.run(main())\n"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.stdout == "left behind\n" and done.stderr == "" and time.perf_counter() - began < 30


def test_pictures_are_inlined_in_copies_only() -> None:
    store = default_store()
    url = store.put_image(np.zeros((8, 8, 3), np.uint8))
    message = HumanMessage([{"type": "text", "text": "Look."}, {"type": "image", "url": url}])
    (inlined,) = inline([message], store)
    assert message.content[1] == {"type": "image", "url": url}
    assert inlined.content[0] == {"type": "text", "text": "Look."}
    block = inlined.content[1]
    assert isinstance(block, dict) and block["mime_type"] == "image/jpeg" and len(block["base64"]) > 100


def test_a_price_holds_for_all_tokens_and_a_node_without_one_keeps_the_cost() -> None:
    used = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "input_token_details": {"cache_read": 4}}
    price = Price(input=0.1, output=0.1)
    state: dict[str, Any] = {}
    for _ in range(3):
        watch = Stopwatch("score", state, price)  # type: ignore[arg-type]
        watch.count(AIMessage("a", usage_metadata=used))
        state = watch.update()
    assert state["usage"]["tokens"] == {"input": 21, "output": 9, "cached": 12}
    assert state["usage"]["cost"] == {"amount": 3e-6, "currency": "USD"}
    assert Stopwatch("fuse", state).update()["usage"]["cost"] == state["usage"]["cost"]  # type: ignore[arg-type]
    assert Stopwatch("score", state).update(fresh=True)["usage"]["cost"] is None  # type: ignore[arg-type]


def test_time_and_tokens_add_up_over_passes() -> None:
    used = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    first = Stopwatch("score", {})  # type: ignore[typeddict-item]
    first.count(AIMessage("a", usage_metadata=used))
    state = first.update(fresh=True)
    again = Stopwatch("score", state)  # type: ignore[arg-type]
    again.count(AIMessage("b"))
    kept = again.update()
    assert kept["usage"]["policy_calls"] == 2 and kept["usage"]["tokens"] == {"input": 7, "output": 3}
    assert [timing["node"] for timing in kept["timings"]] == ["score", "score"] and kept["began"] == state["began"]
    assert asyncio.run(aside(lambda: kept["usage"]["seconds"]["score"])) >= 0


@pytest.mark.parametrize(
    ("structured", "grammar", "call"), [("auto", True, False), ("always", True, True), ("never", False, False)]
)
def test_a_turn_is_held_as_the_settings_say(structured: Any, grammar: bool, call: bool) -> None:
    """By grammar where the policy takes one; elsewhere only where that is always wanted."""

    class Grammatical(Scripted):
        takes_grammar: ClassVar[bool] = True

    context = Context(structured=structured, reasoning=50)
    form = held(Grammatical(lines=[]), context, decompose_form, ["walk"])
    assert (form is not None) is grammar and (form is None or "50" in form.grammar)
    other = held(Scripted(lines=[]), context, decompose_form, ["walk"])
    assert (other is not None and other.call == "decompose") is call
