"""A recorded run, with and without token tracks."""

from pathlib import Path
from typing import Any

import pytest

from video_star import recognize
from video_star.graph.records.trace import read
from video_star.tools.execution.media_store import default_store

ACTIONS = ["walk", "run", "hug"]


@pytest.fixture
def trace(tmp_path: Path, walking_clip: Path) -> Path:
    folder = tmp_path / "trace"
    recognize(walking_clip, ACTIONS, end=1, trace=folder)
    return folder


def with_tracks(trace: Path, prompts: list[list[int]]) -> dict[str, Any]:
    """The trace's record as a policy with tokens would have left it."""
    record = next(read(trace))
    turns = [message for message in record["messages"] if message.get("author") == "policy"]
    for message, prompt in zip(turns, prompts, strict=True):
        track = {"prompt_ids": prompt, "completion_ids": [7, 8], "logprobs": [-0.5, -0.25]}
        message["tokens"] = default_store().put_json(track)
    return record
