"""A chat model as a tool asks it: one question, and one text back that is bounded and harmless, or the reason why not.

What a model writes becomes evidence that another model reads. It is taken as data: one line per field, of limited
length, without markup, so that it can end no turn, stand for no call and open no line of its own.
"""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from ..errors import PolicyUnavailable, ToolResting, ToolUnavailable
from ..settings import home
from . import media_store as media
from .circuit_breaker import Breaker
from .disk_budget import used
from .executor import waiting

LONGEST: Final = 40_000
"""Characters of an answer that are read at all: what 40 definitions take, several times over."""
_THOUGHT: Final = re.compile(r"\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_FILTERED: Final = {"content_filter", "safety", "prohibited_content", "refusal"}
"""Reasons to end a turn that mean that the model would not, as providers name them."""
_REFUSED: Final = re.compile(
    r"\W*((i['’]m |i am )?(very )?sorry\b|(i (cannot|can['’]t|won['’]t|am unable)|i['’]m unable|as an ai)\b"
    r"|(很|非常)?抱歉|对不起|我?无法)",
    re.IGNORECASE,
)
_REFUSAL_LENGTH: Final = 400
"""Characters: a longer text that begins like a refusal goes on to say something."""
THROTTLED: Final = 429
PAUSE: Final = 1.0
"""Seconds before a throttled model is asked again, where its server names none."""
LONGEST_PAUSE: Final = 10.0
"""A server that names so many seconds is not waited for."""
_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?)()")
_AGAIN_IN: Final = re.compile(r"\b(?:re)?try(?: again)?(?: in| after) (\d+(?:\.\d+)?) ?(ms|s)\b", re.IGNORECASE)
"""As OpenAI and Google write it in the message of an error."""
_HARMLESS: Final = str.maketrans("<>", "()")


class Unanswered(ToolUnavailable):
    """The model behind a tool gave nothing that can be used; the embedded engine does it instead."""

    def __init__(self, why: str, tokens: Mapping[str, int] | None = None) -> None:
        """`tokens` are what it cost all the same."""
        super().__init__(why)
        self.tokens = dict(tokens or {})


@dataclass(frozen=True)
class Answer:
    """What a model said."""

    text: str
    """As written, without its thoughts; at most `LONGEST` characters, not blank. For `harmless`, or to be parsed."""
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Spent: `input` and `output`, as far as the server tells."""


@dataclass(frozen=True)
class Speaker:
    """A chat model that a tool may ask."""

    model: BaseChatModel
    spec: str
    """Names model and settings: part of every key under which its words are kept."""
    seconds: float = 45.0
    """What one answer may take."""

    @property
    def name(self) -> str:
        """Provider and model, without address, folder and options, for the policy to read."""
        provider, _, model = self.spec.partition("?")[0].partition(":")
        return harmless(":".join(filter(None, (provider, model.partition("@")[0].rstrip("/").rsplit("/", 1)[-1]))), 60)

    @property
    def engine(self) -> str:
        """The name with a digest of the spec: tells models apart and, too, no address, as it may stand in an error."""
        return f"{self.name} {hashlib.sha256(self.spec.encode(errors='replace')).hexdigest()[:8]}"

    def ask(self, task: str, content: str | Sequence[Mapping[str, Any]]) -> Answer:
        """What the model says to `content`, text or blocks of text and pictures, under the system text `task`.

        A throttled one is asked once more, when its server has waited for long enough.

        Raises:
            Unanswered: It failed, took longer than `seconds`, refused, or said nothing.
        """
        asked = content if isinstance(content, str) else [dict(block) for block in content]
        reply = self._reply([SystemMessage(task), HumanMessage(asked)])  # type: ignore[arg-type]
        tokens = _tokens(reply)
        try:
            text = _THOUGHT.sub("", str(reply.text)[:LONGEST], count=1)
        except Exception as error:
            raise Unanswered(f"what it said is no text ({type(error).__name__})", tokens) from error
        ended = str(reply.response_metadata.get("finish_reason", "")).lower()
        if ended in _FILTERED or reply.additional_kwargs.get("refusal"):
            raise Unanswered("it refused", tokens)
        if not harmless(text, LONGEST):
            raise Unanswered("it said nothing", tokens)
        if _REFUSED.match(text) and len(text) < _REFUSAL_LENGTH:
            raise Unanswered(f"it refused: {harmless(text, 120)}", tokens)
        return Answer(text, tokens)

    def _reply(self, messages: list[Any]) -> AIMessage:
        """What came of one call, or of a second one to a throttled model, within `seconds` in all."""
        breaker, worked = _breaker(self.spec, self.name), False
        until = time.monotonic() + self.seconds
        try:
            breaker.ask()
        except ToolResting as error:
            raise Unanswered(str(error)) from None
        try:
            reply = self._called(messages, until)
            pause = throttled(reply) if isinstance(reply, Exception) else None
            if pause is not None and pause < min(LONGEST_PAUSE, until - time.monotonic()):
                with waiting():
                    time.sleep(pause)
                reply = self._called(messages, until)
            worked = not isinstance(reply, BaseException)
        except Empty:
            raise Unanswered(f"no answer within {self.seconds:g} s") from None
        finally:
            breaker.heard(worked)
        if isinstance(reply, BaseException):
            raise Unanswered(harmless(f"{type(reply).__name__}: {str(reply)[:1000]}", 240)) from reply
        return reply

    def _called(self, messages: list[Any], until: float) -> AIMessage | BaseException:
        """One call, in a thread that is left behind when its time is up: not every client keeps a time limit."""
        done: Queue[AIMessage | BaseException] = Queue(1)

        def run() -> None:
            try:
                # Whoever streams a run wants the words of its policy, not those of its tools among them.
                done.put(self.model.invoke(messages, {"tags": ["nostream"]}))
            except BaseException as error:
                done.put(error)

        Thread(target=copy_context().run, args=(run,), daemon=True).start()
        with waiting():
            return done.get(timeout=max(0.0, until - time.monotonic()))


def throttled(error: BaseException | None) -> float | None:
    """Seconds to wait, as its server names them, before a model is asked again; None if it is not throttled.

    Client libraries are recognised by what they raise, so that none is imported.
    """
    if type(error) is PolicyUnavailable:
        return None  # A quota that is used up: another try changes nothing.
    said = str(error)
    while error is not None:
        for holder in (error, getattr(error, "response", None)):
            if THROTTLED in (getattr(holder, name, None) for name in ("status_code", "status", "code")):
                named = str((getattr(holder, "headers", None) or {}).get("retry-after", ""))
                told = _SECONDS.fullmatch(named) or _AGAIN_IN.search(said)
                return float(told[1]) / (1000 if told[2] == "ms" else 1) if told else PAUSE
        error = error.__cause__
    return None


def harmless(text: str, limit: int) -> str:
    """The text as one line of at most `limit` characters: no control, format or half characters, no angle brackets."""
    seen = text[: 4 * limit]
    kept = (" " if _breaks(c) else c for c in seen if unicodedata.category(c) not in ("Cf", "Co", "Cn"))
    whole = " ".join("".join(kept).split()).translate(_HARMLESS)
    return whole if len(whole) <= limit else whole[: limit - 3].rstrip() + "..."


def _breaks(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _tokens(reply: AIMessage) -> dict[str, int]:
    used = getattr(reply, "usage_metadata", None)
    return {"input": used["input_tokens"], "output": used["output_tokens"]} if used else {}


@lru_cache(maxsize=64)
def _breaker(spec: str, name: str) -> Breaker:
    return Breaker(name)


@dataclass(frozen=True)
class Words:
    """A text as `remembered` keeps it."""

    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", str(self.text))


def recalled(key: tuple[object, ...]) -> str | None:
    """The text kept under `key`, if there is one; what a crash of the machine left of it may be anything."""
    path = _kept_at(key)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    used(path)
    return text


def keep(key: tuple[object, ...], text: str) -> None:
    """Keep a text under `key`, in place of what was there."""
    media.keep(_kept_at(key), text.encode())


def _kept_at(key: tuple[object, ...]) -> Path:
    return home() / "results" / f"{hashlib.sha256(repr(key).encode(errors='replace')).hexdigest()[:32]}.json"
