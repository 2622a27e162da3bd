"""Connection pools for model servers, one for each event loop."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from weakref import WeakKeyDictionary

import httpx

LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=32)
"""No limit on connections: there are as many as concurrent turns."""


class LoopwiseClient(httpx.AsyncClient):
    """A client that can be shared by event loops, also concurrent ones.

    A connection is bound to the loop that opened it. On another loop, or in a forked process, a plain client would
    reuse it and fail.
    """

    def __init__(self, **options: Any) -> None:
        """Take the `options` of `httpx.AsyncClient` for the client of every loop."""
        self._options = {"limits": LIMITS, **options}
        super().__init__(**self._options)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send the request through the client of the running loop."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients.setdefault(loop, httpx.AsyncClient(**self._options))
        return await client.send(request, **options)
