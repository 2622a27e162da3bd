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
from typing import Any, Final, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from ..errors import PolicyBusy, PolicyDisconnected, PolicyUnavailable, ToolModelFailed, ToolResting
from .cancellation import CONDITION, cancelled_when, check_cancelled, ended, pause, start_thread
from .circuit_breaker import CircuitBreaker
from .executor import slot_released
from .model_failures import model_failure
from .retries import Retries

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

        A throttled model is called again after the delay that its server gives, one whose connection broke sooner.

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
        """The model's message, within `seconds` in total. A call that fails is repeated as far as that may help."""
        breaker = _breaker(self.spec, self.name)
        succeeded: bool | None = None
        deadline = time.monotonic() + self.seconds
        try:
            breaker.before_call()
        except ToolResting as error:
            raise ToolModelFailed(str(error)) from None
        try:
            reply, failure = self._invoke_until(deadline, messages)
            if failure is None:
                succeeded = True
            elif isinstance(failure, PolicyBusy) and not isinstance(failure, PolicyDisconnected):
                # Other failures, such as a connection that breaks, may spare the next run.
                succeeded = False
        except TimeoutError:
            succeeded = False
            reason = f"no answer within {self.seconds:g} s"
            raise ToolModelFailed("; ".join(filter(None, (reason, self.remedy)))) from None
        finally:
            breaker.after_call(succeeded)
        if failure is not None:
            raise ToolModelFailed(failure.public, details=sanitize(str(reply)[:1000], 240)) from failure
        return cast(AIMessage, reply)

    def _invoke_until(
        self, deadline: float, messages: list[Any]
    ) -> tuple[AIMessage | BaseException, PolicyUnavailable | None]:
        """The message, or the error and failure after which no call is repeated before the deadline."""
        retries = Retries()
        while isinstance(reply := self._invoke_once(messages, deadline), BaseException):
            failure = model_failure(reply)
            delay = retries.delay(failure)
            if delay is None or delay >= deadline - time.monotonic():
                return reply, failure
            with slot_released():
                pause(delay)
        return reply, None

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
