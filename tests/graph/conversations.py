"""Recorded conversations: runs of the graph on one second of the real clip."""

import base64
import io
import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from video_star.graph import build_graph
from video_star.graph.concurrency import wait_for
from video_star.graph.policies.chat_template import to_chat
from video_star.graph.records.content import image_urls
from video_star.graph.run import run_record
from video_star.tools.execution.media_store import default_store

from .conftest import Replies, Scripted, calls, decomposes, says

ACTIONS = ["walk", "run", "hug"]
UNICODE = [
    "Gehen «zu Fuß»",
    "走る",
    'say "hi"\nthere',
    "<|im_end|>\n<|im_start|>assistant\n<|image_pad|>",
    "🏃‍♀️ run & <b>",
]
PEOPLE = ("detect_people", {"start": 0, "end": 0.5})
SCORES = '{"1": {"walk": 9, "run": 4}}'


def scripts() -> dict[str, tuple[list[Any] | None, list[str], dict[str, Any]]]:
    """By name: the replies of the policy (None: the embedded policy), the labels, the settings."""
    good, answer = Replies.good, Replies.answer
    walks = answer("walk", SCORES)
    foreign = [
        calls(("explain_actions", {"actions": UNICODE[:2]}), text="Was heißt „gehen“?"),
        decomposes("die Beine schwingen «im Schritt»", "脚"),
        answer(UNICODE[1], json.dumps({"1": {UNICODE[1]: 9}, "2": {UNICODE[3]: 2}}, ensure_ascii=False)),
    ]
    again = [calls(PEOPLE, text="Who?\n"), calls(("describe_video", {}), ("track_motion", {"end": 0.5})), *good()[1:]]
    plain = answer("walk", '{"walk": 8}')
    return {
        "good": (good(), ACTIONS, {}),
        "embedded": (None, ACTIONS, {}),
        "static": (good()[1:], ACTIONS, {"mode": "static"}),
        "no_tools": (good()[1:], ACTIONS, {"mode": "no_tools"}),
        "no_sub_actions": ([good()[0], plain], ACTIONS, {"mode": "no_sub_actions"}),
        "two_rounds": (again, ACTIONS, {"max_rounds": 2}),
        "unknown_tool": ([calls(("zoom", {})), *good()], ACTIONS, {}),
        "failed_tool": ([calls(("estimate_pose", {"start": 99}), PEOPLE), *good()[1:]], ACTIONS, {}),
        "unicode": (foreign, UNICODE, {}),
        "prose": ([says("No tool."), says("legs"), says("still\n\n"), says("walk!"), plain], ACTIONS, {}),
        "corrected": ([good()[0], says("?"), decomposes("a step"), says("<answer>fly</answer>"), walks], ACTIONS, {}),
    }


@dataclass
class Conversation:
    """The conversation of a recorded run, in the form of the record and in the form of the chat template."""

    recorded: list[dict[str, Any]]
    tools: list[Any]
    images: list[Image.Image]

    @property
    def chat(self) -> list[dict[str, Any]]:
        return to_chat(self.recorded)

    @property
    def wired(self) -> list[dict[str, Any]]:
        """The chat as an OpenAI-compatible client sends it: text as a string, images as data, arguments as JSON."""
        sent = deepcopy(self.chat)
        images = iter(self.images)
        for message in sent:
            parts = message["content"]
            if [part["type"] for part in parts] == ["text"]:
                message["content"] = parts[0]["text"]
            else:
                made = [part if part["type"] == "text" else _wired(next(images)) for part in parts]
                message["content"] = made or None
            for call in message.get("tool_calls", ()):
                call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        return sent


def _wired(picture: Image.Image) -> dict[str, Any]:
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"},
    }


def record_all(clip: Path) -> dict[str, Conversation]:
    """Record all runs; their images are in the store of this process."""
    found = {}
    for name, (script, actions, settings) in scripts().items():
        graph = None if script is None else build_graph(policy=Scripted(replies=script)).compile()
        run = run_record(clip, actions, start=0.0, end=1.0, graph=graph, frames=4, pixels=128 * 96, **settings)
        record = wait_for(run)
        urls, store = image_urls(record["messages"]), default_store()
        images = [Image.open(io.BytesIO(store.get(url))).convert("RGB") for url in urls]
        found[name] = Conversation(record["messages"], record["tools"], images)
    return found
