"""Connections to a model server are reused by later calls, but never by another event loop."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from video_star import build_graph, recognize
from video_star.graph.concurrency import wait_for
from video_star.graph.policies.prompted_tools import ToolFallback

from ..fake_model_server import GOOD, Handler, Server, completion

pytest.importorskip("langchain_openai", reason="needs the extra [api]")

from langchain_openai import ChatOpenAI

from video_star.graph.policies.connections import LoopwiseClient

pytestmark = pytest.mark.slow


class Counting(Server):
    opened = 0

    def process_request(self, *args: Any) -> None:
        self.opened += 1
        super().process_request(*args)


@pytest.fixture
def server() -> Iterator[Counting]:
    served = Counting(("127.0.0.1", 0), Handler)
    served.requests, served.keys = [], []
    served.says(completion("hello"))
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture
def model(server: Counting) -> ChatOpenAI:
    client = LoopwiseClient(follow_redirects=True)
    return ChatOpenAI(model="tiny", base_url=server.url, api_key="none", max_retries=0, http_async_client=client)  # type: ignore[arg-type]


def test_two_runs_share_one_connection(server: Counting, model: ChatOpenAI, walking_clip: Path) -> None:
    server.says(*GOOD, *GOOD)
    star = build_graph(policy=ToolFallback(model=model, spec="test")).compile()
    asked: dict[str, Any] = {"graph": star, "tools": ["detect_people"], "end": 1, "frames": 2}
    assert [recognize(walking_clip, ["walk", "run"], **asked).status for _ in range(2)] == ["ok", "ok"]
    assert len(server.requests) == 6 and server.opened == 1


def test_each_event_loop_has_its_own_connections(server: Counting, model: ChatOpenAI) -> None:
    async def twice() -> list[str]:
        return [str((await model.ainvoke("Hi")).text) for _ in range(2)]

    for _ in range(2):
        assert asyncio.run(twice()) == wait_for(twice()) == ["hello", "hello"]
    assert server.opened == 3
