"""A policy with scripted replies that records the messages it receives."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr


class Scripted(BaseChatModel):
    """Returns its replies in order, and the last one again and again; an exception among them is raised."""

    replies: list[Any]
    _received: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _offered: list[list[str]] = PrivateAttr(default_factory=list)

    @property
    def received(self) -> list[list[BaseMessage]]:
        return self._received

    @property
    def offered(self) -> list[list[str]]:
        return self._offered

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._received.append(messages)
        self._offered.append([tool["function"]["name"] for tool in kwargs.get("tools", ())])
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return ChatResult(generations=[ChatGeneration(message=reply.model_copy(update={"id": None}))])


def says(text: str) -> AIMessage:
    return AIMessage(text, usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "") -> AIMessage:
    return AIMessage(text, tool_calls=[ToolCall(name=n, args=a, id=f"c{i}") for i, (n, a) in enumerate(wanted)])


def decomposes(*names: str) -> AIMessage:
    return calls(("decompose", {"sub_actions": [{"name": name} for name in names]}))


class Replies:
    """Replies of a policy, by what they do."""

    says = staticmethod(says)
    calls = staticmethod(calls)
    decomposes = staticmethod(decomposes)
    policy = Scripted

    @staticmethod
    def answer(label: str, scores: str) -> AIMessage:
        return says(f"<think>so it is</think><scores>{scores}</scores><answer>{label}</answer>")

    @staticmethod
    def good() -> list[AIMessage]:
        """A valid run: two tools, two sub-actions, consistent scores."""
        return [
            calls(("detect_people", {"start": 0, "end": 0.5}), ("explain_actions", {}), text="Who is there?"),
            decomposes("legs swing in steps", "the body moves across the scene"),
            Replies.answer("walk", '{"1": {"walk": 9, "run": 4}, "2": {"walk": 7, "run": 6}}'),
        ]


@pytest.fixture
def replies() -> type[Replies]:
    return Replies


@pytest.fixture
def make_policy() -> Callable[[list[Any]], Scripted]:
    return lambda script: Scripted(replies=list(script))
