"""Chat completions in other forms than the documented one are read by the client."""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from video_star.graph.policies.completions import arguments_text, documented
from video_star.graph.policies.dashscope_messages import to_chunk, to_message, to_usage
from video_star.graph.usage import NodeUsage, token_count

SPAN = {"start": 0, "end": 1}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (SPAN, SPAN),
        (json.dumps(SPAN), SPAN),
        (json.dumps(json.dumps(SPAN)), SPAN),
        (None, {}),
        ("null", {}),
        ([1], {"arguments": [1]}),
        ("[1]", {"arguments": [1]}),
        (3, {"arguments": 3}),
    ],
)
def test_arguments_become_the_text_of_an_object(given: Any, expected: Any) -> None:
    assert json.loads(arguments_text(given)) == expected


@pytest.mark.parametrize("given", ["", "{'start': 0}", '{"start": ', "[" * 100_000])
def test_text_that_is_not_json_is_left_to_the_repair(given: str) -> None:
    assert arguments_text(given) == given


def completion(arguments: Any, usage: Any, turn: str = "message") -> dict[str, Any]:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "detect_people", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls", turn: message}
    return {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


USAGES: list[Any] = [
    {"prompt_tokens": "12", "completion_tokens": 3.0, "total_tokens": 15},
    {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": [], "completion_tokens_details": "none"},
    {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": "many"}},
]


@pytest.mark.parametrize("usage", USAGES)
def test_a_completion_is_read_by_the_client(usage: Any) -> None:
    pytest.importorskip("langchain_openai", reason="needs the extra [api]")
    from video_star.graph.policies.openai_compatible import openai_client

    model = openai_client()(model="m", api_key="none")
    for given in (SPAN, json.dumps(SPAN)):
        message = model._create_chat_result(completion(given, usage)).generations[0].message
        assert message.tool_calls[0]["args"] == SPAN
        assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == (12, 3)
    for unknown in (None, "unknown", 7, [1], {"prompt_tokens": "?", "completion_tokens": None}):
        message = model._create_chat_result(completion(SPAN, unknown)).generations[0].message
        assert message.tool_calls and (message.usage_metadata or {"input_tokens": 0})["input_tokens"] == 0


def test_a_chunk_keeps_the_parts_of_its_text() -> None:
    for part in ("1", '"0"', "null", '{"sta'):
        chunk = documented(completion(part, None, "delta"))
        assert chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == part
    chunk = documented(completion(SPAN, None, "delta"))
    assert json.loads(chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]) == SPAN


def test_what_is_no_completion_is_left_to_the_client() -> None:
    choices: list[Any] = [None, [None, {"message": None}, {"message": {"tool_calls": [None, {}]}}]]
    for odd in ({}, *({"choices": each} for each in choices)):
        assert documented(odd) == odd


class Response:
    def __init__(self, usage: Any) -> None:
        self.usage = usage


def test_dashscope_gives_the_same_latitude() -> None:
    for given in (SPAN, json.dumps(SPAN), "", None):
        message = {"content": "", "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": given}}]}
        assert to_message(message).tool_calls[0]["args"] == (SPAN if given else {})
        chunk = to_chunk(message).tool_call_chunks[0]["args"]
        assert json.loads(chunk or "{}") == (SPAN if given else {})
    for usage in (None, "unknown", {"input_tokens": "x", "prompt_tokens_details": []}):
        assert to_usage(Response(usage))["input_tokens"] == 0
    assert to_usage(Response({"input_tokens": "12", "output_tokens": 3.0}))["total_tokens"] == 15


def test_token_counts_are_non_negative_integers_or_unknown() -> None:
    known: list[tuple[Any, int]] = [(3, 3), ("3", 3), (3.0, 3), (0, 0)]
    for given, count in known:
        assert token_count(given) == count
    unknowns: list[Any] = [None, True, "many", "nan", float("inf"), -1, [], {}]
    for unknown in unknowns:
        assert token_count(unknown) is None, unknown


@pytest.mark.parametrize("used", [{}, {"input_tokens": "x"}, {"input_tokens": 1, "input_token_details": [1]}, "many"])
def test_usage_of_a_wrong_type_does_not_end_a_run(used: Any) -> None:
    reply = AIMessage("yes")
    reply.usage_metadata = used
    reply.response_metadata = {"token_usage": used if isinstance(used, str) else {"cost": float("nan")}}
    usage = NodeUsage("score", {})  # type: ignore[typeddict-item]
    usage.add_reply(reply)
    update = usage.update()["usage"]
    assert update["policy_calls"] == 1 and update["tokens"]["input"] in (0, 1) and update["cost"] is None
