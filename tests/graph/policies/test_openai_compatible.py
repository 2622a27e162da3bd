"""OpenAI-compatible policies: the real client against a local server with the formats of vLLM and DashScope."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from video_star import Recognition, recognize
from video_star.graph.policies.openai_compatible import openai_client, served_client
from video_star.graph.policies.registry import resolve_policy
from video_star.graph.prompts import tool_schema
from video_star.tools.errors import MissingExtra, PolicyBusy, PolicyUnavailable, UnknownPolicy

from ..fake_model_server import (
    AS_TEXT,
    GOOD,
    LOOK,
    TOOLS_REFUSED,
    Body,
    Handler,
    Reply,
    Server,
    completion,
    refusal,
    with_tokens,
)

pytestmark = pytest.mark.slow

pytest.importorskip("langchain_openai", reason="needs the extra [api]")

NODES = {"tool_select", "tool_exec", "fuse", "decompose", "score"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server(("127.0.0.1", 0), Handler)
    served.requests, served.keys = [], []
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setenv("DASHSCOPE_BASE_URL", served.url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-test")
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    resolve_policy.cache_clear()
    yield served
    served.shutdown()
    served.server_close()


def ask(server: Server, clip: Path, spec: str = "vllm:tiny@{url}", **settings: Any) -> Recognition:
    policy = spec.format(url=server.url)
    return recognize(clip, ["walk", "run"], end=1, policy=policy, tools=["detect_people"], **settings)


def images(message: Body) -> list[str]:
    parts = message["content"] if isinstance(message["content"], list) else []
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


async def test_the_token_ids_of_the_server_are_recorded(server: Server) -> None:
    prompt = [151644, *range(300), *[151655] * 1000, 151645]
    sampled = [(40, -0.25), (41, -1e-7), (151645, -9999.0)]
    server.says(with_tokens(completion("yes"), prompt, sampled))
    policy = resolve_policy(f"vllm:tiny@{server.url}", 0.5, 7)
    expected = {"prompt_ids": prompt, "completion_ids": [40, 41, 151645], "logprobs": [-0.25, -1e-7, -9999.0]}
    for reply in (await policy.ainvoke("there?"), policy.invoke("there?")):
        assert reply.response_metadata["token_track"] == expected
        assert "logprobs" not in reply.response_metadata and "tools" not in reply.response_metadata
    for asked in server.requests:
        assert asked["return_token_ids"] is True and asked["logprobs"] is True and not asked.get("stream")
        assert (asked["model"], asked["temperature"], asked["seed"]) == ("tiny", 0.5, 7)


async def test_without_reported_ids_there_is_no_track(server: Server) -> None:
    server.says(completion("yes"), with_tokens(completion("yes"), [], [(1, -1.0)]))
    policy = resolve_policy(f"vllm:tiny@{server.url}")
    for _ in range(2):
        assert "token_track" not in (await policy.ainvoke("there?")).response_metadata


async def test_misaligned_log_probabilities_are_dropped(server: Server) -> None:
    status, body = with_tokens(completion("yes"), [1, 2], [(3, -1.0), (4, -2.0)])
    assert isinstance(body, dict)
    body["choices"][0]["token_ids"].append(5)
    server.says((status, body))
    track = (await resolve_policy(f"vllm:tiny@{server.url}").ainvoke("there?")).response_metadata["token_track"]
    assert track == {"prompt_ids": [1, 2], "completion_ids": [3, 4, 5], "logprobs": []}


def test_vllm_completes_a_run(server: Server, walking_clip: Path) -> None:
    server.says(*(with_tokens(reply, [1, 2, 3], [(4, -0.5)]) for reply in GOOD))
    found = ask(server, walking_clip)
    assert found.action == "walk" and found.status == "ok" and set(found.usage.seconds) == NODES
    assert found.usage.tokens.input == 300 and found.usage.policy_calls == len(server.requests) == 3
    last = server.requests[-1]["messages"]
    assert [m["role"] for m in last] == ["system", "user", "assistant", "tool", "user", "assistant", "tool"]
    pictures = [(m["role"], url) for m in last for url in images(m)]
    assert len(pictures) > 2
    assert all(role == "user" and url.startswith("data:image/jpeg;base64,") for role, url in pictures)


@pytest.mark.parametrize("spec", ["vllm:tiny@{url}", "openai:tiny"])
def test_runs_on_different_event_loops_succeed(
    server: Server, walking_clip: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    server.says(*GOOD, *GOOD)
    assert [ask(server, walking_clip, spec).status for _ in range(2)] == ["ok", "ok"] and len(server.requests) == 6


def prompted_only(asked: list[Body]) -> None:
    """Whether a request suits a server without tool calling: tools only as text, and alternating roles."""
    for request in asked:
        roles = [message["role"] for message in request["messages"]]
        assert "tools" not in request and "tool_choice" not in request
        assert roles[0] == "system" and roles[1:] == (["user", "assistant"] * len(roles))[: len(roles) - 1]
        for message in request["messages"]:
            assert "tool_calls" not in message and (message["role"] == "user" or not images(message))
        section = request["messages"][0]["content"].partition("<tools>\n")[2].partition("\n</tools>")[0]
        assert [json.loads(line) for line in section.split("\n")] == [
            tool_schema("detect_people"),
            tool_schema("decompose"),
        ]
    last = asked[-1]["messages"]
    assert sum(len(images(message)) for message in last) > 2
    texts = [m["content"] if isinstance(m["content"], str) else m["content"][0]["text"] for m in last]
    assert '<tool_call>\n{"name": "detect_people", "arguments": {"start": 0, "end": 0.5}}\n</tool_call>' in texts[2]
    assert texts[3].startswith("<tool_response>\n") and texts[5].startswith("<tool_response>\nShortlists (JSON)")


@pytest.mark.parametrize(
    "spec", ["vllm:tiny@{url}?tools=prompted", "dashscope:qwen2.5-vl-72b-instruct?tools=prompted&api=compatible"]
)
def test_tools_are_sent_as_text_if_the_spec_says_so(server: Server, walking_clip: Path, spec: str) -> None:
    server.says(*AS_TEXT, GOOD[2], *GOOD)
    found = ask(server, walking_clip, spec)
    assert found.action == "walk" and found.status == "ok" and set(found.usage.seconds) == NODES
    assert [item.tool for item in found.evidence] == ["detect_people"] and len(server.requests) == 3
    prompted_only(server.requests)
    native = spec.replace("tools=prompted&", "").removesuffix("?tools=prompted")
    assert ask(server, walking_clip, native).status == "ok" and "tools" in server.requests[3]


def test_as_text_each_prompt_extends_the_last_prompt_and_reply(server: Server, walking_clip: Path) -> None:
    written = [
        'Who?\n\n<tool_call>{"arguments": {"end": 0.50, "start": 0}, "name": "detect_people"}</tool_call>\n',
        '```json\n{"name": "decompose", "arguments": {"sub_actions": [{"name": "legs swing"}]}}\n```',
    ]
    server.says(*(completion(text) for text in written), GOOD[2])
    assert ask(server, walking_clip, "vllm:tiny@{url}?tools=prompted").status == "ok"
    first, second, third = (request["messages"] for request in server.requests)
    for before, text, after in ((first, written[0], second), (second, written[1], third)):
        assert after[: len(before) + 1] == [*before, {"role": "assistant", "content": text}]


def test_after_a_refusal_the_server_gets_tools_as_text(server: Server, walking_clip: Path) -> None:
    def answer(request: Body) -> Reply:
        return TOOLS_REFUSED if "tools" in request else texts.pop(0)

    texts, server.answer = [*AS_TEXT, GOOD[2]] * 2, answer
    found = ask(server, walking_clip)
    assert found.action == "walk" and found.status == "ok" and set(found.usage.seconds) == NODES
    assert len(server.requests) == 4 and server.requests[0]["tools"]
    prompted_only(server.requests[1:])
    # Also under another seed, which is another client.
    assert ask(server, walking_clip, seed=1).status == "ok"
    assert len(server.requests) == 7
    texts.append(AS_TEXT[0])
    policy = resolve_policy(f"vllm:tiny@{server.url}").bind_tools([tool_schema("detect_people")])
    reply = policy.invoke("who?")
    assert reply.response_metadata["tools"] == "prompted" and reply.tool_calls[0]["name"] == "detect_people"


def test_a_refusal_of_the_text_form_is_reported(server: Server, walking_clip: Path) -> None:
    server.says(TOOLS_REFUSED)
    found = ask(server, walking_clip)
    assert found.status == "failed" and found.error_type == "PolicyUnavailable" and len(server.requests) == 2
    server.says(*GOOD)
    assert ask(server, walking_clip).status == "ok" and server.requests[2]["tools"]


def test_a_malformed_call_in_text_is_corrected_once(server: Server, walking_clip: Path) -> None:
    server.says(completion('<tool_call>\n{"name": "detect_people", args}\n</tool_call>'), *AS_TEXT, GOOD[2])
    found = ask(server, walking_clip, "vllm:tiny@{url}?tools=prompted")
    assert found.status == "ok" and len(server.requests) == 4
    assert "the call of detect_people is not valid JSON" in found.notes[0]
    again = server.requests[1]["messages"]
    assert [m["role"] for m in again] == ["system", "user", "assistant", "user"] and "corrected" in again[-1]["content"]


def test_a_call_in_the_text_of_a_reply_is_parsed(server: Server, walking_clip: Path) -> None:
    server.says(*AS_TEXT, GOOD[2])
    found = ask(server, walking_clip)
    assert found.status == "ok" and found.evidence[0].tool == "detect_people" and len(server.requests) == 3


def test_throttled_requests_are_retried(server: Server, walking_clip: Path) -> None:
    throttled = refusal(429, "Requests rate limit exceeded, please try again later.", code="limit_requests")
    server.says(throttled, *GOOD)
    assert (
        ask(server, walking_clip, "dashscope:qwen-vl-max?api=compatible").status == "ok" and len(server.requests) == 4
    )


def test_retries_stop_after_repeated_failures(server: Server, walking_clip: Path) -> None:
    server.says(GOOD[0], refusal(500, "EngineCore encountered an issue."))
    found = ask(server, walking_clip)
    assert found.status == "failed" and found.error_type == "PolicyBusy" and len(server.requests) == 4
    assert "EngineCore" in str(found.error) and found.evidence[0].status == "ok"


def test_a_slow_server_fails_the_run_in_time(server: Server, walking_clip: Path) -> None:
    gate = threading.Event()

    def answer(request: Body) -> Reply:
        gate.wait()
        return GOOD[0]

    server.answer = answer
    try:
        found = ask(server, walking_clip, policy_seconds=1)
    finally:
        gate.set()
    assert found.status == "failed" and "policy_seconds" in str(found.error) and len(server.requests) == 3


def test_an_unreachable_server_is_reported_with_a_remedy(server: Server, walking_clip: Path) -> None:
    server.shutdown()
    server.server_close()
    found = ask(server, walking_clip)
    assert found.status == "failed" and found.error_type == "PolicyUnreachable"
    assert str(found.error).startswith(f"no answer from {server.url}")
    assert "video-star serve" in str(found.error)


@pytest.mark.parametrize(
    "reply",
    [
        (200, b'{"id": "chatcmpl-1", "choices": [{"index": 0, "mess'),
        (200, b"<html>Welcome to nginx!</html>"),
        (200, b""),
        (200, b"null"),
        (200, b"[]"),
        (200, {"object": "list", "data": []}),
        (200, {"id": "1", "object": "chat.completion", "created": 1, "model": "tiny", "choices": []}),
        (200, {"id": "1", "object": "chat.completion", "created": 1, "model": "tiny", "choices": None}),
        (200, {"id": "1", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [{"index": 0}]}),
        (200, {"error": {"message": "overloaded"}}),
    ],
)
async def test_an_invalid_completion_raises_a_typed_error(server: Server, reply: Reply) -> None:
    server.says(reply)
    with pytest.raises(PolicyUnavailable, match=f"the answer of {server.url} is not a chat completion"):
        await resolve_policy(f"vllm:tiny@{server.url}").ainvoke("there?")


def test_malformed_json_fails_the_run_at_once(server: Server, walking_clip: Path) -> None:
    server.says(GOOD[0], (200, b'{"choices": [{"mess'))
    found = ask(server, walking_clip)
    assert found.status == "failed" and found.error_type == "PolicyUnavailable" and len(server.requests) == 2


@pytest.mark.parametrize("finish", ["content_filter", "length"])
def test_a_truncated_turn_fails_with_the_reason(server: Server, walking_clip: Path, finish: str) -> None:
    server.says(*GOOD[:2], completion("<think>I", finish_reason=finish))
    found = ask(server, walking_clip)
    assert found.status == "failed" and found.error_type == "UnusableAnswer" and len(server.requests) == 4
    assert found.evidence[0].status == "ok" and found.sub_actions[0].name == "legs swing"


@pytest.mark.parametrize(
    ("spec", "reply", "remedy"),
    [
        ("vllm:tiny@{url}", refusal(401, "Unauthorized"), "set VLLM_API_KEY"),
        ("dashscope:qwen-vl-max?api=compatible", refusal(401, "Incorrect API key provided."), "set DASHSCOPE_API_KEY"),
        ("vllm:tiny@{url}", refusal(404, "The model `tiny` does not exist."), "does not serve 'tiny'"),
        ("vllm:tiny@{url}/v2", refusal(500, "not asked"), "/v2/models lists its models"),
        (
            "vllm:tiny@{url}",
            refusal(400, "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."),
            "lower frames or pixels",
        ),
        ("vllm:tiny@{url}", refusal(413, "Request Entity Too Large"), "lower frames or pixels"),
        (
            "dashscope:qwen-vl-max?api=compatible",
            refusal(400, "Input data may contain inappropriate content.", code="data_inspection_failed"),
            "its content filter",
        ),
        ("vllm:tiny@{url}", refusal(400, "tiny is not a multimodal model"), "accepts images"),
    ],
)
async def test_a_refusal_is_reported_with_a_remedy(server: Server, spec: str, reply: Reply, remedy: str) -> None:
    server.says(reply)
    with pytest.raises(PolicyUnavailable, match=remedy) as failure:
        await resolve_policy(spec.format(url=server.url)).ainvoke("there?")
    assert not isinstance(failure.value, PolicyBusy) and str(failure.value).startswith(server.url)


def test_a_refused_request_is_not_repeated(server: Server, walking_clip: Path) -> None:
    server.says(GOOD[0], refusal(400, "This model's maximum context length is 4096 tokens."))
    found = ask(server, walking_clip)
    assert found.status == "failed" and "lower frames or pixels" in str(found.error) and len(server.requests) == 2


def test_keys_come_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says(completion("yes"))
    resolve_policy(f"vllm:tiny@{server.url}").invoke("there?")
    monkeypatch.setenv("VLLM_API_KEY", "of-vllm")
    resolve_policy.cache_clear()
    resolve_policy(f"vllm:tiny@{server.url}").invoke("there?")
    resolve_policy("dashscope:qwen-vl-max?api=compatible").invoke([HumanMessage("there?")])
    assert server.keys == ["Bearer none", "Bearer of-vllm", "Bearer sk-test"]
    assert "return_token_ids" not in server.requests[-1] and "logprobs" not in server.requests[-1]


def test_a_missing_dashscope_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_policy.cache_clear()
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    with pytest.raises(UnknownPolicy, match="set the variable DASHSCOPE_API_KEY"):
        resolve_policy("dashscope:qwen-vl-max?api=compatible")


@pytest.mark.parametrize(
    "spec",
    [
        "vllm:tiny",
        "vllm:@http://127.0.0.1:1/v1",
        "vllm:tiny@127.0.0.1:8000",
        "vllm:tiny@ftp://host/v1",
        "vllm:tiny@http://127.0.0.1:1/v1?tools=none",
        "dashscope:?tools=prompted",
    ],
)
def test_an_incomplete_spec_raises(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-test")
    with pytest.raises(UnknownPolicy):
        resolve_policy(spec)


async def test_images_are_sent_with_tools_as_text(server: Server) -> None:
    server.says(completion("yes"))
    policy = resolve_policy(f"vllm:tiny@{server.url}?tools=prompted").bind_tools([tool_schema("decompose")])
    picture = {"type": "image", "base64": "aGk=", "mime_type": "image/jpeg"}
    await policy.ainvoke([HumanMessage([{"type": "text", "text": "Look."}, picture])])
    system, user = server.requests[0]["messages"]
    assert system["content"].startswith("# Tools") and images(user) == ["data:image/jpeg;base64,aGk="]


async def test_a_streaming_model_is_streamed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    server.says(completion("a hug"), TOOLS_REFUSED, AS_TEXT[0])
    policy = resolve_policy("openai:tiny-that-streams")
    pieces = [chunk.text async for chunk in policy.astream("what?")]
    assert "".join(pieces) == "a hug" and pieces[:2] == ["a ", "hug"]
    with_tools = policy.bind_tools([tool_schema("detect_people")])
    calls = [call async for chunk in with_tools.astream("who?") for call in chunk.tool_calls]
    assert [(call["name"], call["args"]) for call in calls] == [LOOK]
    assert all(asked.get("stream") for asked in server.requests)
    assert ["tools" in asked for asked in server.requests] == [False, True, False]


def test_a_missing_package_raises_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_openai", None)
    for cached in (resolve_policy, served_client, openai_client):
        cached.cache_clear()
    monkeypatch.setenv("DASHSCOPE_API_KEY", "k")
    with pytest.raises(MissingExtra, match="pip install 'video-star.api.'"):
        resolve_policy("dashscope:qwen-vl-max?api=compatible")
