"""A policy that says what a test tells it to, and keeps what it was shown."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

Line = AIMessage | Exception


class Scripted(BaseChatModel):
    """Speaks its lines in order; an exception among them is raised. The last line is repeated."""

    lines: list[Any]
    _heard: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _offered: list[list[str]] = PrivateAttr(default_factory=list)

    @property
    def heard(self) -> list[list[BaseMessage]]:
        return self._heard

    @property
    def offered(self) -> list[list[str]]:
        return self._offered

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._heard.append(messages)
        self._offered.append([tool["function"]["name"] for tool in kwargs.get("tools", ())])
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, Exception):
            raise line
        return ChatResult(generations=[ChatGeneration(message=line.model_copy(update={"id": None}))])


def says(text: str) -> AIMessage:
    return AIMessage(text, usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "") -> AIMessage:
    return AIMessage(text, tool_calls=[ToolCall(name=n, args=a, id=f"c{i}") for i, (n, a) in enumerate(wanted)])


def decomposes(*names: str) -> AIMessage:
    return calls(("decompose", {"sub_actions": [{"name": name} for name in names]}))


class Lines:
    """The lines of a policy, by what they do."""

    says = staticmethod(says)
    calls = staticmethod(calls)
    decomposes = staticmethod(decomposes)
    policy = Scripted

    @staticmethod
    def answer(label: str, scores: str) -> AIMessage:
        return says(f"<think>so it is</think><scores>{scores}</scores><answer>{label}</answer>")

    @staticmethod
    def good() -> list[AIMessage]:
        """A run as it should be: two tools, two sub-actions, consistent scores."""
        return [
            calls(("detect_people", {"start": 0, "end": 0.5}), ("explain_actions", {}), text="Who is there?"),
            decomposes("legs swing in steps", "the body moves across the scene"),
            Lines.answer("walk", '{"1": {"walk": 9, "run": 4}, "2": {"walk": 7, "run": 6}}'),
        ]


@pytest.fixture
def lines() -> type[Lines]:
    return Lines


@pytest.fixture
def make_policy() -> Callable[[list[Any]], Scripted]:
    return lambda spoken: Scripted(lines=list(spoken))
