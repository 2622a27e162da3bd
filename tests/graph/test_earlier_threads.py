"""Threads that version 0.1 checkpointed, on disk as its serializer wrote them."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from PIL import Image

from video_star import build_graph
from video_star.tools.errors import OutdatedThread

from .conftest import Scripted

THREAD: Any = {"configurable": {"thread_id": "1"}}
ANSWER = '<think>.</think><scores>{"1": {"walk": 9}}</scores><answer>walk</answer>'


async def resumed(policy: Scripted | None, video: Path, home: Path) -> dict[str, Any]:
    """The thread, interrupted before `score`, run to its end."""
    saved = json.loads(Path(__file__).with_name("thread_0_1.json").read_text(encoding="utf-8"))
    state = JsonPlusSerializer().loads_typed((saved["kind"], base64.b64decode(saved["base64"])))
    images = re.findall(r"media://(\w+\.jpg)", str(state))
    for name in images:
        (home / "media").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (28, 28)).save(home / "media" / name)
    star = build_graph(policy=policy).compile(checkpointer=InMemorySaver())
    await star.aupdate_state(THREAD, {**state, "video": str(video)}, as_node="decompose")
    return await star.ainvoke(None, THREAD)


async def test_a_chat_model_finishes_it(walking_clip: Path, home: Path) -> None:
    result = await resumed(Scripted(replies=[AIMessage(ANSWER)]), walking_clip, home)
    assert (result["action"], result["status"], result["error"]) == ("walk", "ok", None)


async def test_the_embedded_policy_refuses_it_instead_of_guessing(walking_clip: Path, home: Path) -> None:
    with pytest.raises(OutdatedThread, match="start a new run"):
        await resumed(None, walking_clip, home)
