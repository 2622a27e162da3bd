"""Errors a user can meet, each with what was given and what to do about it.

Everything derived from `BadInput` is the caller's to mend and is raised before any model runs. The rest is the world's:
a tool, a model or a network that failed.
"""

from collections.abc import Mapping


class VideoStarError(RuntimeError):
    """Root of every error this package raises on purpose.

    A RuntimeError, because a LangGraph server passes on the message of those and hides that of any other exception.
    """


class BadInput(VideoStarError, ValueError):
    """What the caller gave cannot be used. The command line exits with 2."""


class VideoNotFound(BadInput):
    """The video argument names nothing that exists."""


class VideoNotAllowed(BadInput):
    """The video lies outside what this process may read: a folder, a device, a private address, a foreign root."""


class VideoTooLarge(BadInput):
    """A video by URL is larger, or slower to arrive, than the limit."""


class DownloadFailed(BadInput):
    """A video by URL, or weights asked for, could not be fetched."""


class UnreadableVideo(BadInput):
    """The file is no video that can be decoded."""


class NoVideoStream(BadInput):
    """The file holds media, but no video stream."""


class EmptyVideo(BadInput):
    """The video stream holds no frame that decodes."""


class SpanOutsideVideo(BadInput):
    """The start and end asked for do not lie in the video."""


class BadActions(BadInput):
    """The candidate actions are missing, empty, repeated or far too long."""


class UnknownPolicy(BadInput):
    """The policy string names no policy."""


class UnknownTool(BadInput):
    """A tool name that is not in the tool library."""


class BadRecord(BadInput):
    """A trace that cannot be read back."""


class BadWeights(BadInput):
    """Weights of an engine that are missing, have changed, or are of no model it can run."""


class MissingExtra(VideoStarError, ImportError):
    """An optional dependency is not installed; the message holds the line that installs it."""


class PolicyUnavailable(VideoStarError):
    """The model behind the policy could not be reached or refused to answer."""


class PolicyBusy(PolicyUnavailable):
    """A failure of the policy that trying again can cure: time-out, dropped connection, throttling, server error."""


class UnusableAnswer(VideoStarError):
    """The policy gave no usable answer, and no tool measured anything."""


class ToolUnavailable(VideoStarError):
    """A tool could not give evidence. The agent goes on without it and says so."""


class ToolBusy(ToolUnavailable):
    """A failure of a tool that trying again can cure: throttling, a dropped connection, no memory at the moment."""


class ToolModelFailed(ToolUnavailable):
    """The chat model behind a tool gave no usable reply; the embedded engine does the work instead."""

    def __init__(self, message: str, tokens: Mapping[str, int] | None = None) -> None:
        """`tokens` are the `input` and `output` tokens spent all the same."""
        super().__init__(message)
        self.tokens = dict(tokens or {})


class ToolResting(ToolUnavailable):
    """A tool that failed again and again is left alone for a while."""


def http_status(error: BaseException) -> int | None:
    """The HTTP status on an error of a client library or on its response; its cause is not considered.

    Libraries are recognised by attributes, so that none is imported.
    """
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and 100 <= status < 600:
                return status
    return None
