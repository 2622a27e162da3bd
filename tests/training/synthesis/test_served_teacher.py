"""Traces by served chat models, from the command line: the teacher, the verifier, and the cost of both."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.graph.fake_model_server import Body, Handler, Reply, Server, completion
from video_star.graph.records.trace import read

from ...clips import cut_clip

pytestmark = pytest.mark.slow

pytest.importorskip("langchain_openai", reason="needs the extra [api]")

PARTS = [
    {"name": "the legs swing", "candidates": ["walk", "run"]},
    {"name": "the body moves", "candidates": ["walk", "run"]},
]
ANSWER = """<think>A stroll.</think>
<scores>{"1": {"walk": 8, "run": 3}, "2": {"walk": 7, "run": 6}}</scores>
<answer>walk</answer>"""
TURNS = (
    completion("The frames show it all."),
    completion("In parts.", [("decompose", {"sub_actions": PARTS})]),
    completion(ANSWER),
)
VERDICT = completion('{"sub_actions": true, "scores": true, "why": "it is so"}')


def reply(request: Body) -> Reply:
    """The next turn of a trace, or the verdict on one."""
    if "check the reasoning" in str(request["messages"][0]):
        return VERDICT
    return TURNS[sum(message["role"] == "assistant" for message in request["messages"])]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.requests, server.keys = [], []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_teacher_and_verifier_are_served_and_the_cost_is_shown(
    server: Server, walking_clip: Path, tmp_path: Path
) -> None:
    for number in range(2):
        cut_clip(walking_clip, tmp_path / f"{number}c7e1f.mp4", number, number + 0.6)
    (tmp_path / "split.txt").write_text("0c7e1f.mp4 0\n1c7e1f.mp4 1\n")
    (tmp_path / "labels.csv").write_text("0,walk\n1,run\n")
    server.answer = reply
    policy = f"vllm:tiny@{server.url}"
    command = ["synthesize", "split.txt", "--labels", "labels.csv", "--out", "traces", "--teacher", policy]
    command += ["--verifier", policy, "--price", "1000/2000", "--verifier-price", "10000/20000"]
    command += ["--target", "2", "--attempts", "1", "--concurrency", "1", "--tool-failure-rate", "0", "--seed", "1"]
    done = subprocess.run(
        [Path(sys.executable).parent / "video-star", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1, done.stderr
    shown = " ".join(done.stdout.split())
    (trace,) = read(tmp_path / "traces")
    assert trace["synthesis"]["label"] == "walk" and trace["synthesis"]["verifier_tokens"] == {
        "input": 100,
        "output": 20,
    }
    assert "1 of 2 traces verified" in shown and "wrong_answer: 1" in shown
    assert "teacher: 600 input tokens, 120 output tokens" in shown
    assert "verifier: 100 input tokens, 20 output tokens" in shown
    # 0.6 and 0.24 for the teacher's two traces, 1 and 0.4 for the one verdict.
    assert "2.2400 USD, 2.24000 per verified trace" in shown
    (asked,) = [request for request in server.requests if reply(request) is VERDICT]
    assert "<answer>walk</answer>" in str(asked["messages"][1]) and "c7e1f" not in str(asked["messages"])


def test_an_invalid_price_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    command = [
        "synthesize",
        "split.txt",
        "--labels",
        "labels.csv",
        "--out",
        "traces",
        "--teacher",
        "scripted",
        "--price",
    ]
    for price in ("cheap", "1", "-1/2", "nan/1"):
        program = Path(sys.executable).parent / "video-star"
        done = subprocess.run([program, *command, price], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and not (tmp_path / "traces").exists()
        assert "Traceback" not in done.stderr
