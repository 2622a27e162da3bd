"""What became of a turn that failed: whether another try may help, and what to do where not.

Client libraries are recognised by what they raise, so that none is imported.
"""

from __future__ import annotations

from typing import Final

from ...tools.errors import PolicyBusy, PolicyUnavailable, http_status

PASSING_STATUS: Final = {408, 409, 425, 429, 500, 502, 503, 504, 529}
"""HTTP answers that another try may change."""
_PASSING_ERRORS: Final = {
    *("ConnectionError", "APIConnectionError", "TransportError", "ReadTimeout", "ConnectTimeout"),
    *("ClientConnectionError", "ClientPayloadError", "ResponseError"),
}
"""Names of errors without a status that another try may change: of httpx and the providers' clients, of aiohttp, and
Ollama's, which has none in the middle of an answer."""
_REMEDIES: Final = {
    401: "; see that its key is set, and right",
    403: "; see that its key is right, and may use this model",
    404: "; see that the name of the model is right",
    413: "; lower frames or pixels",
}


def policy_failure(error: Exception, node: str) -> PolicyUnavailable:
    """The error of a policy's client as one of ours: `PolicyBusy` where trying again can cure it."""
    return (PolicyBusy if _passes(error) else PolicyUnavailable)(
        f"the policy failed in {node}: {type(error).__name__}: {str(error)[:300]}"
        + _REMEDIES.get(_answered(error) or 0, "")
    )


def _answered(error: BaseException | None) -> int | None:
    """The status of the error or else of what caused it."""
    while error is not None:
        if (status := http_status(error)) is not None:
            return status
        error = error.__cause__
    return None


def _passes(error: Exception) -> bool:
    """Whether trying again may help. Client libraries are recognised by what they raise, so that none is imported."""
    status = _answered(error)
    if status is not None:
        # A server that took the request and failed in the middle of its answer says so under the status of success.
        return status in PASSING_STATUS or 200 <= status < 300
    return bool({kind.__name__ for kind in type(error).__mro__} & _PASSING_ERRORS)
