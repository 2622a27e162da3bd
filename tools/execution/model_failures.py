"""Failures of model servers: their causes, whether a retry may help, and what to do otherwise.

`CAUSES` is the only table from cause to remedy. Every policy, and every chat model behind a tool, reports failures
through the functions below.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..errors import PolicyBusy, PolicyDisconnected, PolicyUnavailable, PolicyUnreachable, http_status


@dataclass(frozen=True)
class Cause:
    """Why a server refused a request."""

    pattern: re.Pattern[str]
    """Found in "status code message" of the refusal."""
    remedy: str
    """What to do; a template for the fields of `Backend`."""
    transient: bool = False
    """Whether a retry may help."""


def _cause(pattern: str, remedy: str, *, transient: bool = False) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE | re.DOTALL), remedy, transient)


_WEB_PAGE: Final = (
    "a web page, or other text, came in place of an answer; check the address of the server, which often ends in /v1, "
    "and any proxy in between ({address})"
)
REFUSED_TOOLS: Final = (
    r"^50[01] .*(\b(tools?|functions?|function.?call\w*)\b.{0,60}(requires?|not support|unsupported|not implemented)"
    r"|(not support|unsupported|not implemented|not enabled).{0,40}\b(tools?|functions?|function.?call\w*)\b)"
)
"""A refusal of tools that llama.cpp and others report as their own failure."""
CAUSES: Final = (
    _cause(
        r"arrearage|overdue|good standing|insufficient.?balance|^402 ",
        "the account has unpaid bills; settle them in the provider's console",
    ),
    _cause(
        r"free.?tier|free (allocated )?quota|insufficient.?quota|commodity_?not_?purchased|unpurchased|budget_?limit"
        r"|(hour|week|month) allocated quota",
        "the quota of the model is used up or was never bought; raise it in the provider's console, or use another "
        "model",
    ),
    _cause(
        r"data_?inspection|inappropriate content|content.{0,3}(filter|policy|management)",
        "its content filter rejects the video or the text; use another video, other labels or another model",
    ),
    _cause(
        r"^(2\d\d|3\d\d|400|40[3-79]) .*<(!doctype html|html)\b",
        _WEB_PAGE,
    ),
    _cause(
        r"^413 |^(400|422) .*(range of input length|(input|context|prompt|token length).{0,20}(too long|exceed)"
        r"|context.{0,3}(length|window)|longer than the maximum|too long|too many tokens)",
        "the conversation is too long for the model; lower frames or pixels, offer fewer tools, or use a model with a "
        "longer context (vLLM: --max-model-len)",
    ),
    _cause(
        r"^429 |^\d+ (throttling|limit_?requests)",
        "too many requests or tokens at once; wait, or raise the limit",
        transient=True,
    ),
    _cause(r"invalid.?api.?key|api.?key not valid|^401 ", "it does not accept the API key; set {key}"),
    _cause(
        r"model_?not_?(found|exist)|model\W.{0,120}?(not (found|exist)|does not exist)",
        "it does not serve {model}; see its list of models",
    ),
    _cause(
        r"^\d+ \S*access_?denied|^403 ",
        "the API key may not use {model}; check the key, and allow the model for it in the provider's console",
    ),
    _cause(
        r"^(400|404|415|422) .*(\b(images?|image_url|image inputs?|multi-?modal|vision)\b|image\(s\)|mmproj"
        r"|content.{0,40}must be a string)"
        r"|^50[01] .*((not support|unsupported|not implemented).{0,80}\b(image|vision|multi-?modal)"
        r"|\b(image|vision|multi-?modal).{0,80}(not support|unsupported|not implemented|missing)|mmproj)",
        "it does not accept these images; use a model that accepts images, several in one conversation, or lower "
        "frames (vLLM: --limit-mm-per-prompt)",
    ),
    _cause(
        r"^(400|404|422) .*(\btools?\b|tool_|function.?call)|" + REFUSED_TOOLS,
        "it does not accept tools in this form; use the policy with ?tools=prompted",
    ),
    _cause(r"^(3\d\d|404|405) ", "it serves nothing at this address, or does not serve {model}; {address}"),
    _cause(r"only supports? stream|non-streaming", "{model} only answers as a stream; use another model"),
    _cause(
        r"^(2\d\d|408|409|425|5\d\d) |^\d+ (internal_?error(?!\S*invalid)|system_?error|request_?time_?out"
        r"|service_?unav|model_?(unavailable|service_?failed|serving_?error))",
        "the server failed; try again later",
        transient=True,
    ),
    _cause("", "it does not accept the request; check that the model accepts images, several in one conversation"),
)
"""The first cause whose pattern is found applies. Error codes come before statuses, because some servers report every
error inside a stream with status 400, and a failure in the middle of an answer with status 200. Sources:
help.aliyun.com/model-studio/error-code, and the messages of vLLM, OpenAI, Anthropic, Google and Ollama."""
_TIMEOUTS: Final = {"TimeoutError", "TimeoutException", "APITimeoutError", "StreamChunkTimeoutError"}
_DISCONNECTED: Final = {
    *("ConnectionError", "APIConnectionError", "TransportError"),
    *("ClientConnectionError", "ClientPayloadError"),
}
_INTERRUPTED: Final = {"ResponseError"}
"""Names of errors without a status for which a retry may help: of Python, of httpx, of the providers' clients, of
aiohttp, and of Ollama, whose errors have no status in the middle of an answer."""


@dataclass(frozen=True)
class Backend:
    """What remedies say about a server and its model."""

    model: str = "this model"
    """The name of the model, in quotes."""
    key: str = "the key of the provider"
    """Where the API key is set."""
    address: str = "check the name of the model"
    """How to check the address of the server."""


def refusal(
    server: str, backend: Backend, status: int, message: str, code: str = "", request_id: str = ""
) -> PolicyUnavailable:
    """The error for a request that a server refused: `PolicyBusy` if a retry may help.

    Args:
        server: Address of the server.
        backend: What remedies say about it.
        status: HTTP status of the answer.
        message: The server's message.
        code: The server's error code, if it has one.
        request_id: What the provider's support asks for, if there is one.
    """
    cause = _cause_of(f"{status} {code} {message}" if code else f"{status} {message}")
    details = shortened(message) + (f", request {request_id}" if request_id else "")
    return _error(cause.transient)(
        f"{server} answered {code or f'status {status}'}: {_remedy(cause, backend)} ({details})",
        f"the server of the policy answered status {status}: {_remedy(cause, Backend())}",
    )


def no_answer(server: str, error: BaseException, described: str, check: str) -> PolicyUnavailable:
    """The error for a server that cannot be reached or broke the connection; `check` says how to check its address."""
    kind = _kind_of_connection_failure(error) or PolicyDisconnected
    return kind(
        f"no answer from {server}: {described}; check the network and the address ({check})",
        "no answer from the server of the policy; try again later",
    )


def not_an_answer(server: str, expected: str, address: str, reason: str) -> PolicyUnavailable:
    """The error for an answer that is not what was `expected`, as from another kind of server."""
    return PolicyUnavailable(
        f"the answer of {server} is not {expected}; check that its address is {address} ({reason})",
        f"the answer of the server of the policy is not {expected}; the host of this graph should check its address",
    )


def broken_off(server: str, how: str) -> PolicyDisconnected:
    """The error for an answer that ended early; `how` says in which way."""
    return PolicyDisconnected(f"{server} {how}", "the server of the policy ended its answer early; try again")


def interrupted(server: str, why: str) -> PolicyBusy:
    """The error for an answer that the server itself ended with an error, `why`."""
    return PolicyBusy(
        f"{server} interrupted its answer: {shortened(why)}",
        "the server of the policy interrupted its answer; try again",
    )


def timed_out(server: str, seconds: float) -> PolicyBusy:
    """The error for an answer that took longer than `seconds`."""
    told = f"gave no answer within {seconds:g} s; raise policy_seconds (--policy-seconds), or use a faster model"
    return PolicyBusy(f"{server} {told}", f"the policy {told}")


def model_failure(error: BaseException, what: str = "") -> PolicyUnavailable:
    """The error for any exception of a chat model's client, of the class that says whether a retry may help.

    Args:
        error: Of any client. A typed error is returned itself, any other becomes the cause of the one returned.
        what: What failed, such as "the policy failed in score"; the error starts with it.
    """
    if isinstance(error, PolicyUnavailable):
        return error
    kind, status, remedy = _diagnosis(error)
    name = type(error).__name__
    described = ": ".join(filter(None, (what, name, shortened(error))))
    public = ": ".join(filter(None, (what, name))) + (f", status {status}" if status else "")
    failure = kind(
        "; ".join(filter(None, (described, remedy))), "; ".join(filter(None, (public, remedy or (what and _SEE_LOG))))
    )
    failure.__cause__ = error
    return failure


def _diagnosis(error: BaseException) -> tuple[type[PolicyUnavailable], int | None, str]:
    """The class of an error, the HTTP status of its answer, and the remedy, if there is one."""
    if (status := _status(error)) is not None:
        cause = _cause_of(f"{status} {error}")
        return _error(cause.transient), status, _remedy(cause, Backend())
    if (kind := _kind_of_connection_failure(error)) is not None:
        return kind, None, "try again later" if kind is PolicyBusy else "check the network and the server's address"
    if _UNREAD.search(str(error)[:10_000]):
        return PolicyUnavailable, None, _WEB_PAGE.format(address=Backend().address)
    return PolicyUnavailable, None, ""


_SEE_LOG: Final = "the log of its host says why"


_UNREAD: Final = re.compile(
    r"(<!doctype html|<html\b)|unexpected response type|not valid json|expecting value: line"
    # Anthropic's client returns the text of a page in place of a reply.
    r"|'str' object has no attribute",
    re.IGNORECASE,
)
"""An answer that is a web page, or not JSON."""


def shortened(text: object) -> str:
    """At most 300 characters of a message, on one line."""
    return " ".join(str(text).split())[:300]


def _status(error: BaseException | None) -> int | None:
    """The status of the error, or else of the nearest of its causes that has one."""
    while error is not None:
        if (status := http_status(error)) is not None:
            return status
        error = error.__cause__
    return None


def _kind_of_connection_failure(error: BaseException) -> type[PolicyUnavailable] | None:
    """The class of error for a connection that was not opened, was slow or broke; None for any other failure."""
    chain = list(_chain(error))
    if any(isinstance(each, ConnectionRefusedError | socket.gaierror) or _has_no_route(each) for each in chain):
        return PolicyUnreachable
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    if names & (_TIMEOUTS | _INTERRUPTED):
        return PolicyBusy
    return PolicyDisconnected if names & _DISCONNECTED else None


def _has_no_route(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _NO_ROUTE


_NO_ROUTE: Final = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, also where a client hides that (`raise ... from None`); members of groups, too."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__ or each.__context__, *(each.exceptions if isinstance(each, ExceptionGroup) else ())]


def _cause_of(described: str) -> Cause:
    return next(cause for cause in CAUSES if cause.pattern.search(described[:10_000]))


def _remedy(cause: Cause, backend: Backend) -> str:
    return cause.remedy.format(model=backend.model, key=backend.key, address=backend.address)


def _error(transient: bool) -> type[PolicyUnavailable]:
    return PolicyBusy if transient else PolicyUnavailable
