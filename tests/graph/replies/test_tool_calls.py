"""Tool calls: only calls of offered tools with JSON arguments are valid."""

import pytest
from langchain_core.messages import AIMessage, ToolCall

from video_star.graph.replies.errors import MalformedReply
from video_star.graph.replies.tool_calls import validated_calls


def test_a_call_of_an_unknown_tool_or_without_json_is_malformed() -> None:
    with pytest.raises(MalformedReply, match="there is no tool 'look'"):
        validated_calls(AIMessage("", tool_calls=[ToolCall(name="look", args={}, id="1")]), ["detect_people"])
    broken = {"name": "detect_people", "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}
    with pytest.raises(MalformedReply, match="not valid JSON"):
        validated_calls(AIMessage("", invalid_tool_calls=[broken]), ["detect_people"])
