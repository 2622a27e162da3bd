"""HTTP app that a LangGraph server mounts beside its own routes: read-only access to the images in the media store.

The image `media://<name>` of a message is served at `/media/<name>`. Only names of that form reach the file system. Its
middleware, which the server applies to all routes, adds messages to the errors of `/mcp`.
"""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..tools.errors import MissingMedia
from ..tools.execution.media_store import default_store
from .mcp_errors import McpErrors


async def media(request: Request) -> Response:
    """One image of the store, or status 404."""
    if not request.path_params["name"].endswith(".jpg"):
        return PlainTextResponse("no such image", 404)
    try:
        jpeg = await asyncio.to_thread(default_store().get, request.path_params["name"])
    except MissingMedia:
        return PlainTextResponse("no such image", 404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(jpeg, media_type="image/jpeg", headers=headers)


app = Starlette(routes=[Route("/media/{name}", media)], middleware=[Middleware(McpErrors)])
