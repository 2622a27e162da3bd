"""The http app that a LangGraph server mounts beside its own routes: the media store, read-only.

`media://<name>` of any message is at `/media/<name>`. Nothing but names of that form reaches the disk.
"""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..tools.execution.media_store import default_store


async def media(request: Request) -> Response:
    """One picture of the store, or 404."""
    if not request.path_params["name"].endswith(".jpg"):
        return PlainTextResponse("no such picture", 404)
    try:
        jpeg = await asyncio.to_thread(default_store().get, request.path_params["name"])
    except KeyError:
        return PlainTextResponse("no such picture", 404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(jpeg, media_type="image/jpeg", headers=headers)


app = Starlette(routes=[Route("/media/{name}", media)])
