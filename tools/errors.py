"""The errors of this package. Each message says what was given and what to do.

* VideoStarError
  * BadInput                the caller can correct it; raised before any model runs
    * VideoNotFound
    * VideoNotAllowed
    * VideoTooLarge
    * DownloadFailed
    * UnreadableVideo
    * NoVideoStream
    * EmptyVideo
    * SpanOutsideVideo
    * BadActions
    * BadEdit
    * MissingMedia          an image of a run is not in the media store any more
    * UnknownPolicy
    * ModelNotAllowed       the caller of a graph named a model that its host does not allow
    * UnknownTool
    * BadRecord
    * BadWeights
    * OutputNotAllowed
  * MissingExtra            an optional package is not installed
  * PolicyUnavailable       the policy failed: the run ends with status `failed`
    * PolicyUnreachable     no connection to its server: nothing listens there, or the host does not exist
    * PolicyBusy            a retry may help; the graph retries by itself
      * PolicyDisconnected  the connection to its server broke; retried more often, because that costs little
    * OutdatedThread        the embedded policy cannot continue a thread of an earlier version
  * UnusableAnswer          the policy answered, but not usably: the run ends with status `failed`
  * ToolUnavailable         a tool failed: the run continues without its evidence
    * ToolBusy              the same, but a retry may help
      * ToolCancelled       nobody waits for the result any more; only the thread that computed it sees this
    * ToolResting           the tool failed repeatedly and is not called for a while
    * ToolModelFailed       the chat model behind a tool failed; the embedded engine does the work instead
  * KnowledgeError          an entry of the knowledge base is invalid (tools/knowledge/entries.py)
"""

from collections.abc import Mapping


class VideoStarError(RuntimeError):
    """Base class of all errors that this package raises deliberately.

    A RuntimeError, because a LangGraph server reports the messages of those to its clients and hides the message of any
    other exception.
    """


class BadInput(VideoStarError, ValueError):
    """The input cannot be used. The command line exits with status 2."""


class VideoNotFound(BadInput):
    """There is no such video file."""


class VideoNotAllowed(BadInput):
    """This process may not read the video: a device, a private address, or a file outside the allowed folders."""


class VideoTooLarge(BadInput):
    """A video download exceeds the limit of size or time."""


class DownloadFailed(BadInput):
    """A video or model weights could not be downloaded."""


class UnreadableVideo(BadInput):
    """The file is not a video, or cannot be decoded."""


class NoVideoStream(BadInput):
    """The media file contains no video stream."""


class EmptyVideo(BadInput):
    """The video stream contains no frame that can be decoded."""


class SpanOutsideVideo(BadInput):
    """The requested time span is not inside the video."""


class BadActions(BadInput):
    """The candidate actions are missing, empty, duplicated, too many or too long."""


class BadEdit(BadInput):
    """An edit of a waiting run cannot be honoured."""


class MissingMedia(BadInput):
    """An image or a token track is not in the media store."""


class UnknownPolicy(BadInput):
    """There is no such policy, or its key is not set."""


class ModelNotAllowed(BadInput):
    """The context of a run names a policy, describer or explainer that the host of the graph does not allow."""


class UnknownTool(BadInput):
    """There is no tool of this name in the library."""


class BadRecord(BadInput):
    """A trace, or one of its records, cannot be read."""


class BadWeights(BadInput):
    """The weights of an engine are missing, modified, or of a model that the engine cannot run."""


class OutputNotAllowed(BadInput):
    """An output would overwrite the video, another input or output, or a file that video-star did not write."""


class MissingExtra(VideoStarError, ImportError):
    """An optional package is not installed; the message contains the command that installs it."""


class PolicyUnavailable(VideoStarError):
    """The policy's model cannot be reached or rejects the request.

    The message is for the host: it may contain the address of a server and what it answered.
    """

    def __init__(self, message: str, public: str = "the policy failed; the log of its host says why") -> None:
        """`public` is the message for callers of a served graph: the cause and the remedy alone."""
        super().__init__(message)
        self.public = public


class PolicyUnreachable(PolicyUnavailable):
    """No connection to the server of the policy's model: it is refused, or the host is unknown or has no route."""


class PolicyBusy(PolicyUnavailable):
    """A failure of the policy for which a retry may help: time limit, throttling, server error, lack of memory."""


class PolicyDisconnected(PolicyBusy):
    """The connection to the server of the policy's model broke before the whole reply had come."""


class OutdatedThread(PolicyUnavailable):
    """An earlier version began the thread, in words that the embedded policy no longer reads."""

    def __init__(self, message: str, public: str = "") -> None:
        """The message is for everybody."""
        super().__init__(message, public or message)


class UnusableAnswer(VideoStarError):
    """The policy gave no usable answer, and no tool measured anything."""


class ToolUnavailable(VideoStarError):
    """A tool could not provide evidence. The run continues without it and notes the reason."""


class ToolBusy(ToolUnavailable):
    """A failure of a tool for which a retry may help: throttling, a lost connection, lack of memory."""


class ToolCancelled(ToolBusy):
    """The call was cancelled or reached its time limit, and nobody else waits for its result."""


class ToolModelFailed(ToolUnavailable):
    """The chat model behind a tool gave no usable reply; the embedded engine does the work instead."""

    def __init__(self, message: str, tokens: Mapping[str, int] | None = None, details: str = "") -> None:
        """`tokens` are the `input` and `output` tokens spent all the same; `details`, for the host, what was said."""
        super().__init__(message)
        self.tokens = dict(tokens or {})
        self.details = details


class ToolResting(ToolUnavailable):
    """A tool failed repeatedly and is not called for a while."""


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
