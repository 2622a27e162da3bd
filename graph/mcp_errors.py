"""ASGI middleware of a LangGraph server: an MCP client gets the message of an error, and not only its class.

The server's `/mcp` runs the graph by a request of its own to `/runs/wait`, to which it passes the headers it got, and
answers with the field `error` of a failure.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_MARK: Final = (b"x-video-star-mcp", b"1")
"""Header that tells the server's own request from those of other clients."""


class McpErrors:
    """Adds the message to the class of an error that `/mcp` returns."""

    def __init__(self, app: App) -> None:
        """`app` is the rest of the server."""
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope["path"].rstrip("/") if scope["type"] == "http" else ""
        if path.endswith("/mcp"):
            scope = {**scope, "headers": [*scope["headers"], _MARK]}
        elif path.endswith("/runs/wait") and _MARK in map(tuple, scope["headers"]):
            send = _with_messages(send)
        await self._app(scope, receive, send)


def _with_messages(send: Send) -> Send:
    body = b""

    async def send_whole(message: Message) -> None:
        nonlocal body
        if message["type"] == "http.response.body":
            body += message.get("body", b"")
            if message.get("more_body") and body.strip():
                return
            # Line breaks, which keep the connection open, are passed on at once.
            message, body = {**message, "body": _with_message(body)}, b""
        await send(message)

    return send_whole


def _with_message(body: bytes) -> bytes:
    """The JSON text of an answer; if it is an error, with class and message in the field `error`."""
    try:
        answer = json.loads(body)
        failure = answer["__error__"]
        answer["__error__"] = {**failure, "error": f"{failure['error']}: {failure['message']}"}
    except (ValueError, LookupError, TypeError):
        return body
    return json.dumps(answer).encode()
