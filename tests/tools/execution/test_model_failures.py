"""Causes of refusals: each has one remedy, whichever backend reports it."""

import errno
import socket

import httpx
import pytest

from video_star.tools.errors import PolicyBusy, PolicyDisconnected, PolicyUnavailable, PolicyUnreachable
from video_star.tools.execution.model_failures import CAUSES, Backend, model_failure, refusal

BACKEND = Backend("'tiny'", "TINY_KEY", "check its /v1")


class Refused(Exception):
    def __init__(self, status_code: int, message: str = "no") -> None:
        super().__init__(message)
        self.status_code = status_code


def test_the_last_cause_applies_to_everything() -> None:
    assert CAUSES[-1].pattern.pattern == "" and all(cause.pattern.pattern for cause in CAUSES[:-1])


@pytest.mark.parametrize(
    ("status", "message", "transient", "remedy"),
    [
        (402, "Payment required", False, "unpaid bills"),
        (429, "You exceeded your current quota: insufficient_quota", False, "quota of the model is used up"),
        (429, "Too many tokens, please wait before trying again.", True, "too many requests or tokens"),
        (400, "The response was stopped by the content management policy.", False, "content filter"),
        (400, "This model's maximum context length is 4096 tokens.", False, "lower frames or pixels"),
        (413, "Payload too large", False, "lower frames or pixels"),
        (401, "no", False, "set TINY_KEY"),
        (400, "API key not valid. Please pass a valid API key.", False, "set TINY_KEY"),
        (403, "no", False, "may not use 'tiny'"),
        (404, "The model `tiny` does not exist.", False, "does not serve 'tiny'; see its list"),
        (404, "Not Found", False, "check its /v1"),
        (422, "tools are not supported", False, "tools=prompted"),
        (400, "no", False, "accepts images"),
        (404, "<!DOCTYPE html><html><body>Not Found</body></html>", False, "a web page"),
        (403, "<html>Access denied by proxy</html>", False, "a web page"),
        (400, "At most 0 image(s) may be provided in one prompt.", False, "does not accept these images"),
        (
            400,
            "Invalid content type. image_url is only supported by certain models.",
            False,
            "does not accept these images",
        ),
        (404, "No endpoints found that support image input", False, "does not accept these images"),
        (400, "tiny is not a multimodal model", False, "does not accept these images"),
        (400, "this model is missing data required for image input", False, "does not accept these images"),
        (
            500,
            "image input is not supported - hint: you may need to provide the mmproj",
            False,
            "does not accept these images",
        ),
        (422, "unknown variant `image_url`, expected `text`", False, "does not accept these images"),
        (500, "tools param requires --jinja flag", False, "tools=prompted"),
        (501, "function calling is not implemented", False, "tools=prompted"),
        (404, "No endpoints found that support tool use.", False, "tools=prompted"),
        (500, "the tool parser crashed", True, "try again later"),
        (502, "<html>Bad Gateway</html>", True, "try again later"),
        *((status, "no", True, "try again later") for status in (200, 408, 409, 425, 500, 502, 503, 504, 529)),
    ],
)
def test_a_refusal_names_its_remedy(status: int, message: str, transient: bool, remedy: str) -> None:
    error = refusal("http://host/v1", BACKEND, status, message)
    assert type(error) is (PolicyBusy if transient else PolicyUnavailable)
    assert str(error).startswith(f"http://host/v1 answered status {status}: ") and remedy in str(error)


def test_a_failure_of_any_client_is_typed_and_names_its_remedy() -> None:
    error = ValueError("later")
    error.__cause__ = Refused(503)
    busy = model_failure(error, "the policy failed in score")
    assert type(busy) is PolicyBusy and "the policy failed in score: ValueError: later; " in str(busy)
    refused = model_failure(Refused(401))
    assert type(refused) is PolicyUnavailable and "set the key of the provider" in str(refused)
    assert str(model_failure(KeyError("x"), "score")) == "score: KeyError: 'x'"
    assert model_failure(busy) is busy and refused.__cause__ is not None


def raised_from(cause: BaseException, *, hidden: bool = False) -> Exception:
    try:
        try:
            raise cause
        except BaseException as error:
            raise ConnectionError("cannot connect") from (None if hidden else error)
    except ConnectionError as error:
        return error


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (REFUSED, PolicyUnreachable),
        (raised_from(REFUSED), PolicyUnreachable),
        (raised_from(REFUSED, hidden=True), PolicyUnreachable),
        (raised_from(ExceptionGroup("attempts", [REFUSED])), PolicyUnreachable),
        (raised_from(socket.gaierror(-2, "Name or service not known")), PolicyUnreachable),
        (raised_from(OSError(errno.EHOSTUNREACH, "No route to host")), PolicyUnreachable),
        (ConnectionResetError("reset by peer"), PolicyDisconnected),
        (raised_from(EOFError()), PolicyDisconnected),
        (httpx.RemoteProtocolError("peer closed connection"), PolicyDisconnected),
        (httpx.ReadError(""), PolicyDisconnected),
        (httpx.ConnectTimeout(""), PolicyBusy),
        (TimeoutError(), PolicyBusy),
    ],
)
def test_a_connection_that_is_refused_is_told_from_one_that_broke_and_from_one_that_is_slow(
    error: Exception, kind: type
) -> None:
    assert type(model_failure(error)) is kind


@pytest.mark.parametrize(
    "text", ["Unexpected response type: '<!doctype html>'", "<html>", "Expecting value: line 1 column 1 (char 0)"]
)
def test_an_answer_that_is_a_web_page_names_its_remedy(text: str) -> None:
    error = model_failure(ValueError(text))
    assert type(error) is PolicyUnavailable and "a web page" in str(error) and "/v1" in str(error)


def test_a_long_message_is_shortened_and_costs_no_time() -> None:
    error = refusal("http://host/v1", BACKEND, 400, "model " * 1_000_000)
    assert len(str(error)) < 600
