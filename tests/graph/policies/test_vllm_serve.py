"""`video-star serve` prints the vLLM command that it starts."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from video_star.graph.policies.vllm_serve import serve_command

pytestmark = pytest.mark.slow


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


@pytest.mark.parametrize(
    ("model", "ours"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", True),
        ("unsloth/qwen2_5-vl-3b", True),
        ("Qwen/Qwen2.5-7B-Instruct", False),
        ("Qwen/Qwen3-VL-8B-Instruct", False),
        ("OpenGVLab/InternVL3-8B", False),
    ],
)
def test_only_qwen2_5_vl_is_served_with_the_template_of_this_package(model: str, ours: bool) -> None:
    command = serve_command(model, port=8001, max_model_len=32768)
    assert command[:3] == ["vllm", "serve", model] and ("--chat-template" in command) is ours
    if ours:
        assert "<tool_call>" in Path(option(command, "--chat-template")).read_text(encoding="utf-8")
    assert option(command, "--tool-call-parser") == "hermes" and "--enable-auto-tool-choice" in command
    assert json.loads(option(command, "--limit-mm-per-prompt")) == {"image": 64}
    assert "--enable-prefix-caching" in command and option(command, "--max-model-len") == "32768"
    assert option(command, "--port") == "8001" and "--max-model-len" not in serve_command(model)


@pytest.mark.parametrize(("kind", "ours"), [("qwen2_5_vl", True), ("qwen3_vl", False)])
def test_the_family_of_a_checkpoint_is_read_from_its_configuration(tmp_path: Path, kind: str, ours: bool) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    assert ("--chat-template" in serve_command(str(tmp_path))) is ours


def run(*words: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "video_star.cli", "serve", "Qwen/Qwen2.5-VL-7B-Instruct", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for vLLM is a shell script")
def test_the_printed_command_is_the_one_that_is_started(tmp_path: Path) -> None:
    beside = Path(sys.executable).parent / "vllm"
    if beside.exists():
        pytest.skip("vLLM is installed and would start")
    stand_in = tmp_path / "vllm"
    stand_in.write_text('#!/bin/sh\nfor word in vllm "$@"; do echo "$word"; done\n', encoding="utf-8")
    stand_in.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    printed, started = run("--port", "8123", path=path), run("--port", "8123", "--run", path=path)
    assert printed.returncode == started.returncode == 0
    assert shlex.split(printed.stdout) == started.stdout.splitlines()
    for ended in (printed, started):
        assert "vllm:Qwen/Qwen2.5-VL-7B-Instruct@http://127.0.0.1:8123/v1" in ended.stderr


def test_a_missing_vllm_raises_with_the_install_line(tmp_path: Path) -> None:
    if (Path(sys.executable).parent / "vllm").exists():
        pytest.skip("vLLM is installed and would start")
    ended = run("--run", path=str(tmp_path))
    assert ended.returncode == 2 and "pip install 'video-star[vllm]'" in ended.stderr and not ended.stdout
