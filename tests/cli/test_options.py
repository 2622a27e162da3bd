"""The options that commands share, and what the program does before any command runs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import video_star
from video_star import Context
from video_star.cli.options import FORMATS, LIMITS, RUN

from ..console import SPAN, invoke, typed

GIVEN: dict[str, Any] = {
    "frames": 4,
    "pixels": 50_000,
    "max_rounds": 2,
    "policy_seconds": 90.0,
    "tool_seconds": 30.0,
    "temperature": 0.5,
    "seed": 7,
}


@pytest.mark.slow
def test_help_and_version_load_no_model_and_no_graph(tmp_path: Path, home: Path) -> None:
    watched = """
import sys
from video_star.cli import app
try:
    app()
finally:
    slow = {"langgraph", "langchain_core", "pydantic", "numpy", "onnxruntime", "httpx", "yaml"} & set(sys.modules)
    assert not slow, slow
"""
    program = (sys.executable, "-c", watched)
    shown = typed("--help", program=program, folder=tmp_path)
    assert shown.code == 0 and "recognize" in shown.stdout and not home.exists()
    assert typed("--version", program=program, folder=tmp_path).stdout == f"video-star {video_star.__version__}\n"


def test_shared_options_are_fields_of_the_context() -> None:
    assert {*LIMITS, *RUN} == Context.model_fields.keys() - {"reasoning"}
    assert GIVEN.keys() == LIMITS.keys()


@pytest.mark.parametrize("command", ["recognize", "demo", "synthesize"])
def test_every_command_that_runs_the_agent_has_the_limits_and_shows_their_defaults(command: str) -> None:
    shown = " ".join(invoke(command, "--help").stdout.split())
    own = {"tool_seconds": 3600.0, **({"max_rounds": 2, "temperature": 0.7} if command == "synthesize" else {})}
    for name in LIMITS:
        _, found, text = shown.partition(f"--{name.replace('_', '-')} <")
        assert found, name
        default = own.get(name, Context.model_fields[name].default)
        assert text.split("[default: ")[1].split("]")[0] == str(default), name
    for text in FORMATS.values() if command != "synthesize" else ():
        assert text in shown


def test_limits_reach_the_run(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    words: list[str | Path] = [
        word for name, value in GIVEN.items() for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    asked = ("recognize", walking_clip, "--actions", "walk,run", *SPAN, *words, "--price", "0.8/3.2", "--tools", " , ")
    ended = invoke(*asked, "--trace", tmp_path, "--json")
    assert ended.exit_code == 0, ended.stderr
    context = json.loads((tmp_path / "runs.jsonl").read_text(encoding="utf-8"))["request"]["context"]
    assert {name: context[name] for name in GIVEN} == GIVEN
    assert (context["price"]["input"], context["price"]["output"]) == (0.8, 3.2)
    assert context["tools"] == Context().tools


def test_former_names_of_options_still_work(tmp_path: Path) -> None:
    for words in (["export", "none", "--to", "table"], ["export", "none", "--out", "table"]):
        failed = invoke(*words)
        assert failed.exit_code == 2 and failed.stderr.startswith("Error: ") and "none" in failed.stderr
    asked = ["synthesize", "none.txt", "--labels", "none.csv", "--teacher", "scripted", "--to", "t", "--per-clip", "2"]
    failed = invoke(*asked)
    assert failed.exit_code == 2 and failed.stderr.startswith("Error: ") and "none.csv" in failed.stderr
    assert "--to " not in invoke("synthesize", "--help").stdout
