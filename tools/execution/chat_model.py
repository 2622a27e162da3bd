"""A chat model behind a tool: one question, and a bounded, sanitized reply or an error that says why there is none.

What a model writes becomes evidence that another model reads. It is treated as data: `sanitize` makes it one line of
limited length without markup, so that it cannot end a turn, pass for a tool call or start a line of its own.
"""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Event
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from ..errors import PolicyUnavailable, ToolModelFailed, ToolResting, http_status
from .cancellation import CONDITION, cancelled_when, check_cancelled, ended, pause, start_thread
from .circuit_breaker import CircuitBreaker
from .executor import slot_released

MAX_LENGTH: Final = 40_000
"""Characters of a reply that are read: several times the length of 40 definitions."""
_THINKING: Final = re.compile(r"\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_FILTERED: Final = {"content_filter", "safety", "prohibited_content", "refusal"}
"""Finish reasons by which providers report a refusal."""
_REFUSAL: Final = re.compile(
    r"\W*((i['’]m |i am )?(very )?sorry\b|(i (cannot|can['’]t|won['’]t|am unable)|i['’]m unable|as an ai)\b"
    r"|(很|非常)?抱歉|对不起|我?无法)",
    re.IGNORECASE,
)
_MAX_REFUSAL_LENGTH: Final = 400
"""Characters: a longer text that starts like a refusal also contains an answer."""
_TOO_MANY_REQUESTS: Final = 429
DEFAULT_RETRY_DELAY: Final = 1.0
"""Seconds before a throttled model is retried, unless its server gives a delay."""
MAX_RETRY_DELAY: Final = 10.0
"""The model is not retried if the server asks for a delay of this many seconds or more."""
_RETRY_AFTER: Final = re.compile(r"(\d+(?:\.\d+)?)()")
_TRY_AGAIN_IN: Final = re.compile(r"\b(?:re)?try(?: again)?(?: in| after) (\d+(?:\.\d+)?) ?(ms|s)\b", re.IGNORECASE)
"""As in the error messages of OpenAI and Google."""
_ANGLE_BRACKETS: Final = str.maketrans("<>", "()")


@dataclass(frozen=True)
class Reply:
    """A model's reply."""

    text: str
    """As written, without the thinking; at most `MAX_LENGTH` characters, not blank. Parse or `sanitize` it."""
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Token counts `input` and `output`; empty if the server gives none."""


@dataclass(frozen=True)
class ToolModel:
    """A chat model that does the work of a tool."""

    model: BaseChatModel
    spec: str
    """Model and settings: part of the key under which its replies are cached."""
    seconds: float = 45.0
    """Time limit of one question, retry included."""
    remedy: str = ""
    """What to do about the time limit, for the error."""

    @property
    def name(self) -> str:
        """Provider and model without address, folder and options, for the policy to read."""
        provider, _, model = self.spec.partition("?")[0].partition(":")
        return sanitize(":".join(filter(None, (provider, model.partition("@")[0].rstrip("/").rsplit("/", 1)[-1]))), 60)

    @property
    def engine(self) -> str:
        """The name with a digest of the spec: unique per spec, and without its address, as it may appear in errors."""
        return f"{self.name} {hashlib.sha256(self.spec.encode(errors='replace')).hexdigest()[:8]}"

    def ask(self, system: str, content: str | Sequence[Mapping[str, Any]]) -> Reply:
        """The model's reply to `content`, text or blocks of text and images, with the system message `system`.

        A throttled model is called once more, after the delay that its server gives.

        Raises:
            ToolModelFailed: The call failed, took longer than `seconds`, or the reply is a refusal or blank.
        """
        blocks = content if isinstance(content, str) else [dict(block) for block in content]
        message = self._invoke([SystemMessage(system), HumanMessage(blocks)])  # type: ignore[arg-type]
        tokens = _tokens(message)
        try:
            text = _THINKING.sub("", str(message.text)[:MAX_LENGTH], count=1)
        except Exception as error:
            raise ToolModelFailed(f"what it said is no text ({type(error).__name__})", tokens) from error
        reason = str(message.response_metadata.get("finish_reason", "")).lower()
        if reason in _FILTERED or message.additional_kwargs.get("refusal"):
            raise ToolModelFailed("it refused", tokens)
        if not sanitize(text, MAX_LENGTH):
            raise ToolModelFailed("it said nothing", tokens)
        if _REFUSAL.match(text) and len(text) < _MAX_REFUSAL_LENGTH:
            raise ToolModelFailed("it refused", tokens, sanitize(text, 120))
        return Reply(text, tokens)

    def _invoke(self, messages: list[Any]) -> AIMessage:
        """The message of one call, or of a second one if the first was throttled, within `seconds` in total."""
        breaker = _breaker(self.spec, self.name)
        succeeded: bool | None = None
        deadline = time.monotonic() + self.seconds
        try:
            breaker.before_call()
        except ToolResting as error:
            raise ToolModelFailed(str(error)) from None
        try:
            reply = self._invoke_once(messages, deadline)
            delay = retry_delay(reply) if isinstance(reply, Exception) else None
            if delay is not None and delay < min(MAX_RETRY_DELAY, deadline - time.monotonic()):
                with slot_released():
                    pause(delay)
                reply = self._invoke_once(messages, deadline)
            if not isinstance(reply, BaseException):
                succeeded = True
            elif retry_delay(reply) is not None:
                # Other failures, such as a connection that breaks, may spare the next run.
                succeeded = False
        except TimeoutError:
            succeeded = False
            reason = f"no answer within {self.seconds:g} s"
            raise ToolModelFailed("; ".join(filter(None, (reason, self.remedy)))) from None
        finally:
            breaker.after_call(succeeded)
        if isinstance(reply, BaseException):
            status = http_status(reply)
            failed = f"{type(reply).__name__}, status {status}" if status else type(reply).__name__
            raise ToolModelFailed(failed, details=sanitize(str(reply)[:1000], 240)) from reply
        return reply

    def _invoke_once(self, messages: list[Any], deadline: float) -> AIMessage | BaseException:
        """One call in a thread that is cancelled at the deadline, as not every client respects a time limit."""
        reply: Future[AIMessage | BaseException] = Future()
        given_up, given = Event(), CONDITION.get()

        def run() -> None:
            try:
                with cancelled_when(lambda: given_up.is_set() or given()):
                    # A stream of the run must contain the tokens of the policy, not those of its tools.
                    reply.set_result(self.model.invoke(messages, {"tags": ["nostream"]}))
            except BaseException as error:
                reply.set_result(error)

        start_thread(run)
        try:
            with slot_released():
                ended(reply, deadline - time.monotonic())
            check_cancelled()
            return reply.result()
        finally:
            given_up.set()


def retry_delay(error: BaseException | None) -> float | None:
    """Seconds to wait before a throttled model is retried, as given by its server; None if it is not throttled."""
    if type(error) is PolicyUnavailable:
        return None  # The quota is used up: a retry changes nothing.
    text = str(error)
    while error is not None:
        if http_status(error) == _TOO_MANY_REQUESTS:
            headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
            given = _RETRY_AFTER.fullmatch(str((headers or {}).get("retry-after", ""))) or _TRY_AGAIN_IN.search(text)
            return float(given[1]) / (1000 if given[2] == "ms" else 1) if given else DEFAULT_RETRY_DELAY
        error = error.__cause__
    return None


def sanitize(text: str, limit: int) -> str:
    """The text as one line of at most `limit` characters, free of control characters, surrogates and angle brackets."""
    kept = (" " if _is_break(c) else c for c in text[: 4 * limit] if unicodedata.category(c) not in ("Cf", "Co", "Cn"))
    line = " ".join("".join(kept).split()).translate(_ANGLE_BRACKETS)
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


def _is_break(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _tokens(message: AIMessage) -> dict[str, int]:
    usage = getattr(message, "usage_metadata", None)
    return {"input": usage["input_tokens"], "output": usage["output_tokens"]} if usage else {}


@lru_cache(maxsize=64)
def _breaker(spec: str, name: str) -> CircuitBreaker:
    return CircuitBreaker(name)
