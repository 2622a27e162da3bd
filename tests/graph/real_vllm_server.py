"""A real vLLM server on the CPU, started by the command that `video-star serve` prints."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

from video_star.graph.policies.vllm_serve import serve_command

PYTHON = "VIDEO_STAR_VLLM_PYTHON"
"""Environment variable: the Python of an environment that has vLLM."""
STARTS_WITHIN = 420.0
OPTIONS = (
    *("--dtype", "bfloat16", "--enforce-eager", "--served-model-name", "tiny", "--max-num-seqs", "32"),
    # On the CPU, vLLM 0.32 dies of a request with a seed whose prompt it reads in parts.
    *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "16384"),
)


class VllmServer:
    """A vLLM server of a checkpoint on a free port, which can be killed and restarted."""

    def __init__(self, python: str, checkpoint: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        command = serve_command(str(checkpoint), port=self.port, max_model_len=16384, more=OPTIONS)
        # The CPU build has no `vllm` command; its module takes the same options, the model by name.
        self._command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", *command[2:]]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def policy(self) -> str:
        return f"vllm:tiny@{self.url}"

    def start(self) -> None:
        quiet = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + STARTS_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"vLLM did not start:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(1)

    def kill(self) -> None:
        """Kill the server without a shutdown, as in a crash."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=2).is_success
        except httpx.TransportError:
            return False


if __name__ == "__main__":
    server = VllmServer(os.environ[PYTHON], Path(sys.argv[1]), Path(sys.argv[2]))
    server.start()
    print(server.policy, flush=True)
    signal.pause()
