"""A server on loopback that speaks vLLM's routes for token ids: `/tokenize` and `/inference/v1/generate`."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from video_star.graph.policies.chat_template import render
from video_star.graph.policies.vllm import GENERATE

Body = dict[str, Any]


class TokenServer(ThreadingHTTPServer):
    """Says `answer(prompt)`, given the text of all ids of the prompt, token by token."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, tokenizer: Any, answer: Callable[[str], str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokenizer, self.answer = tokenizer, answer
        self.asked: list[str] = []
        """Routes that were asked."""
        self.cut = ""
        """Where a stream breaks off: `early`, before its last token; `late`, after it; empty: nowhere."""

    @property
    def policy(self) -> str:
        return f"vllm:tiny@http://127.0.0.1:{self.server_port}/v1"

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))


@contextmanager
def serving(tokenizer: Any, answer: Callable[[str], str]) -> Iterator[TokenServer]:
    served = TokenServer(tokenizer, answer)
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield served
    served.shutdown()
    served.server_close()


class Handler(BaseHTTPRequestHandler):
    server: TokenServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)
        if self.path == "/tokenize":
            text = body.get("prompt")
            if text is None:
                text = render(body["messages"], body.get("tools") or (), ask=True)
            self._send(200, {"tokens": self.server.ids(text)})
        elif self.path == GENERATE and isinstance(body.get("content_parts"), list):
            self._generate(body)
        else:
            self._send(400, {"error": {"message": "no", "code": 400}})

    def _generate(self, body: Body) -> None:
        prompt = self.server.tokenizer.decode(body["token_ids"], skip_special_tokens=False)
        ids = self.server.ids(f"{self.server.answer(prompt)}<|im_end|>")
        if not body.get("stream"):
            self._send(200, {"prompt_token_ids": body["token_ids"], "choices": [self._choice(ids, "stop")]})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if self.server.cut:
            self.send_header("Content-Length", "10000000")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        last = len(ids) - 1
        for at, token in enumerate(ids[:-1] if self.server.cut == "early" else ids):
            part = {"prompt_token_ids": body["token_ids"] if at == 0 else None}
            part |= {"choices": [self._choice([token], "stop" if at == last else None)]}
            self.wfile.write(f"data: {json.dumps(part)}\n\n".encode())
        if not self.server.cut:
            self.wfile.write(b"data: [DONE]\n\n")

    def _choice(self, ids: list[int], finish: str | None) -> Body:
        text = self.server.tokenizer.decode(ids, skip_special_tokens=False)
        probabilities = [{"logprob": -0.5} for _ in ids]
        return {"token_ids": ids, "text": text, "logprobs": {"content": probabilities}, "finish_reason": finish}

    def _send(self, status: int, body: Body) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass
