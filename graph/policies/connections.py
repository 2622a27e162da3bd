"""Connections to model servers that outlive a call: one pool for each event loop."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from weakref import WeakKeyDictionary

import httpx

LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=32)
"""As many connections as there are turns at once."""


class LoopwiseClient(httpx.AsyncClient):
    """A client that can be kept and used on any event loop, one after the other or at once.

    A connection belongs to the loop that opened it. On another loop, or in a forked process, a plain client would take
    it for its own and fail.
    """

    def __init__(self, **options: Any) -> None:
        """`options` are those of `httpx.AsyncClient`, for the client of every loop."""
        self._options = {"limits": LIMITS, **options}
        super().__init__(**self._options)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send the request over a connection of the running loop."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients.setdefault(loop, httpx.AsyncClient(**self._options))
        return await client.send(request, **options)
