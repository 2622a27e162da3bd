"""The shape of a record as its readers rely on it; fields that they do not read may hold anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator

from ...tools.errors import BadRecord, VideoStarError
from .result import Recognition


class Block(BaseModel):
    """Part of a message."""

    type: str
    text: str | None = None
    url: str | None = None

    @model_validator(mode="after")
    def _text_has_text(self) -> Block:
        if self.type == "text" and self.text is None:
            raise ValueError("a text block has no text")
        return self


class Call(BaseModel):
    """A tool call."""

    name: str
    args: dict[str, Any]


class Message(BaseModel):
    """A message of the conversation."""

    role: str
    node: str | None = None
    author: str | None = None
    name: str | None = None
    content: str | list[str | Block] | None = None
    tool_calls: list[Call] | None = None
    tokens: str | None = None

    @model_validator(mode="after")
    def _graph_writes_blocks(self) -> Message:
        if self.author == "graph" and isinstance(self.content, list) and any(isinstance(p, str) for p in self.content):
            raise ValueError("the graph writes blocks, not bare text")
        return self


class Frame(BaseModel):
    """A frame that the policy saw."""

    url: str | None = None
    time: float | None = None


class Timing(BaseModel):
    """The time that a node took."""

    node: str | None = None
    start: float | None = None
    seconds: float | None = None


class Request(BaseModel):
    """What was asked for."""

    source: str | None = None
    actions: list[str] | None = None
    question: str | None = None
    start: float | None = None
    end: float | None = None
    context: dict[str, Any] | None = None


class Record(BaseModel):
    """One run."""

    id: str
    created: str | None = None
    request: Request | None
    video: dict[str, Any] | None = None
    frames: list[Frame] | None = None
    tools: list[dict[str, Any]] | None = None
    messages: list[Message]
    recognition: Recognition
    timings: list[Timing] | None = None


def check_shape(record: Mapping[str, Any], where: str) -> None:
    """Check that readers can use a record.

    Args:
        record: The record, from JSON.
        where: File and line, for the error.

    Raises:
        BadRecord: A field has another type; the message names it.
    """
    try:
        Record.model_validate(record, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadRecord(f"{where}, is damaged: {field}: {first['msg']}; remove the line") from None


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Report whatever fails on a record as its damage: the file may have been edited in any way.

    Raises:
        BadRecord: The block failed, other than with an error of this package or of the disk.
    """
    try:
        yield
    except (VideoStarError, OSError):
        raise
    except Exception as error:
        raise BadRecord(f"{where}, is damaged: {type(error).__name__}: {error}; remove the line") from error
