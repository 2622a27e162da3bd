"""DashScope through the vendor's SDK, against a local server with its native API."""

import asyncio
import base64
import gc
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage

pytest.importorskip("dashscope", reason="needs the extra [api]")

from video_star import Recognition, recognize  # noqa: E402
from video_star.graph import build_graph  # noqa: E402
from video_star.graph.policies.dashscope import _conversation, make  # noqa: E402
from video_star.graph.policies.prompted_tools import ToolFallback, render_hermes  # noqa: E402
from video_star.graph.prompts import tool_schema  # noqa: E402
from video_star.graph.run import run_record  # noqa: E402
from video_star.tools.errors import MissingExtra, PolicyBusy, PolicyUnavailable, UnknownPolicy  # noqa: E402
from video_star.tools.execution.media_store import default_store  # noqa: E402

from ..fake_dashscope_server import GOOD, KEY, LOOK, NAME, PATH, Body, Raw, Reply, Server, Turn, refusal, serving

pytestmark = pytest.mark.slow

NODES = {"tool_select", "tool_exec", "fuse", "decompose", "score"}
TOOLS = [tool_schema("detect_people"), tool_schema("decompose")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as served:
        yield served


def ask(clip: Path, spec: str = "dashscope:qwen3-vl-plus", prompted: bool = False, **settings: Any) -> Recognition:
    policy = ToolFallback(model=make(spec.partition(":")[2]), spec=spec, prompted=prompted)
    graph = build_graph(policy=policy).compile()
    return recognize(clip, ["walk", "run"], end=1, graph=graph, tools=["detect_people"], **settings)


def images(message: Body) -> list[str]:
    return [part["image"] for part in message["content"] if "image" in part]


@pytest.mark.usefixtures("warm")
class TestRuns:
    """Whole runs of the graph."""

    def test_a_run_completes_with_tools_and_images(self, server: Server, walking_clip: Path) -> None:
        server.says(*GOOD)
        found = ask(walking_clip)
        assert found.action == "walk" and found.status == "ok" and set(found.usage.seconds) == NODES
        assert found.usage.policy_calls == len(server.requests) == 3
        assert (found.usage.tokens.input, found.usage.tokens.output) == (3 * 1270, 60)
        assert [item.tool for item in found.evidence] == ["detect_people"] and found.sub_actions[0].name == "legs swing"
        first, second, last = ([message for message in each["input"]["messages"]] for each in server.requests)
        assert [m["role"] for m in last] == ["system", "user", "assistant", "tool", "user", "assistant", "tool"]
        assert second[: len(first)] == first and last[: len(second)] == second
        assert last[2]["content"] == [{"text": "Who is there?"}]
        call = last[2]["tool_calls"][0]
        assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == LOOK
        assert last[3]["tool_call_id"] == call["id"] and last[3]["content"][0]["text"]
        pictures = [(m["role"], url) for m in last for url in images(m)]
        assert len(pictures) > 2 and {role for role, _ in pictures} == {"user"}
        assert all(url.startswith("data:image/jpeg;base64,") for _, url in pictures)
        parameters = server.requests[0]["parameters"]
        assert server.requests[0]["model"] == "qwen3-vl-plus" and parameters["result_format"] == "message"
        assert [tool["function"]["name"] for tool in parameters["tools"]] == ["detect_people", "decompose"]
        assert (parameters["temperature"], parameters["seed"]) == (0.0, 0) and parameters["parallel_tool_calls"] is True
        assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}

    async def test_images_are_sent_as_data_in_order(self, server: Server, walking_clip: Path) -> None:
        server.says(*GOOD)
        graph = build_graph(policy=make("qwen3-vl-plus")).compile()
        record = await run_record(walking_clip, ["walk", "run"], end=1, graph=graph, tools=["detect_people"])
        sent = [url for message in server.requests[-1]["input"]["messages"] for url in images(message)]
        shown = [
            block["url"]
            for message in record["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "image"
        ]
        store = default_store()
        data = [f"data:image/jpeg;base64,{base64.b64encode(store.get(url)).decode()}" for url in shown]
        assert sent == data and len(set(sent)) > 2
        assert shown[: len(record["frames"])] == [frame["url"] for frame in record["frames"]]

    def test_runs_on_different_event_loops_succeed(self, server: Server, walking_clip: Path) -> None:
        server.says(*GOOD, *GOOD)
        graph = build_graph(policy=make("qwen3-vl-plus")).compile()
        runs = [recognize(walking_clip, ["walk", "run"], end=1, graph=graph, tools=["detect_people"]) for _ in range(2)]
        assert [run.status for run in runs] == ["ok", "ok"] and len(server.requests) == 6

    def test_a_model_without_tool_calling_gets_tools_as_text(self, server: Server, walking_clip: Path) -> None:
        as_text = [Turn(render_hermes("", [{"name": name, "args": args}])) for name, args in (LOOK, NAME)]
        texts = [*as_text, GOOD[2]]
        no_tools = refusal(
            400, "InvalidParameter", "<400> InternalError.Algo.InvalidParameter: The tool call is not supported."
        )

        def answer(body: Body) -> Reply:
            return no_tools if "tools" in body["parameters"] else texts.pop(0)

        server.answer = answer
        found = ask(walking_clip, "dashscope:qwen2.5-vl-takes-none")
        assert found.action == "walk" and found.status == "ok" and len(server.requests) == 4
        system, user = server.requests[1]["input"]["messages"]
        assert system["content"][0]["text"].count("<tools>") and images(user)

    def test_throttled_requests_are_retried(self, server: Server, walking_clip: Path) -> None:
        server.says(GOOD[0], refusal(429, "Throttling.RateQuota", "Requests rate limit exceeded."), *GOOD[1:])
        found = ask(walking_clip)
        assert found.status == "ok" and len(server.requests) == 4

    def test_a_permanent_failure_fails_the_run_at_once(self, server: Server, walking_clip: Path) -> None:
        server.says(GOOD[0], refusal(400, "Arrearage", "Access denied, please make sure your account is in good stand"))
        found = ask(walking_clip)
        assert found.status == "failed" and "unpaid bills" in str(found.error) and len(server.requests) == 2
        assert found.evidence[0].status == "ok"

    def test_the_time_limit_of_a_turn_leaves_no_task_and_no_connection(
        self, server: Server, walking_clip: Path
    ) -> None:
        found = ask(walking_clip, policy_seconds=1)
        assert found.status == "failed" and "policy_seconds" in str(found.error) and len(server.requests) == 3
        assert server.hung_up.wait(120)


def collected(chunks: list[Any]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert isinstance(whole, AIMessageChunk)
    return whole


async def others() -> set[asyncio.Task[Any]]:
    """The tasks that remain after all others have ended."""
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0)
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_a_stream_adds_up_to_the_complete_answer(server: Server) -> None:
    calls: list[tuple[str, Body]] = [LOOK, ("explain_actions", {}), NAME]
    server.says(Turn("Who is there?", calls))
    policy = make("qwen3-vl-plus").bind_tools(TOOLS)
    whole = await policy.ainvoke("look")
    chunks = [chunk async for chunk in policy.astream("look")]
    streamed = collected(chunks)
    assert [chunk.text for chunk in chunks][:2] == ["Who is ", "there?"] and len(chunks) > 8
    assert whole.text == streamed.text == "Who is there?"
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == calls
    assert streamed.tool_calls == whole.tool_calls and not streamed.invalid_tool_calls
    assert streamed.usage_metadata == whole.usage_metadata
    assert whole.usage_metadata == {
        "input_tokens": 1270,
        "output_tokens": 20,
        "total_tokens": 1290,
        "input_token_details": {"image": 1200},
    }
    for message in (whole, streamed):
        metadata = message.response_metadata
        assert metadata["request_id"] == "a75a1b22-e512-957d-891b-37db858ae738"
        assert metadata["finish_reason"] == "tool_calls" and metadata["model_name"] == "qwen3-vl-plus"
    assert "incremental_output" not in server.requests[0]["parameters"] and server.requests[1]["parameters"]
    assert server.requests[1]["parameters"]["incremental_output"] is True
    assert "x-dashscope-sse" not in server.headers[0] and server.headers[1]["x-dashscope-sse"] == "enable"


async def test_chunks_arrive_before_the_answer_is_complete(server: Server) -> None:
    gate = threading.Event()
    server.says(Turn("a long answer", gate=gate))
    pieces: list[str] = []
    async for chunk in make("qwen3-vl-plus").astream("what?"):
        if not pieces:
            assert not gate.is_set()
            gate.set()
        pieces.append(chunk.text)
    assert "".join(pieces) == "a long answer" and pieces[0] == "a long "


async def test_a_refusal_of_tools_in_a_stream_falls_back_to_text(server: Server) -> None:
    as_text = Turn(render_hermes("", [{"name": LOOK[0], "args": LOOK[1]}]))
    server.says(refusal(400, "InvalidParameter", "The tool call is not supported."), as_text)
    policy = ToolFallback(model=make("qwen2.5-vl"), spec="dashscope:qwen2.5-vl-streams").bind_tools(TOOLS)
    heard = collected([chunk async for chunk in policy.astream("who?")])
    assert [(call["name"], call["args"]) for call in heard.tool_calls] == [LOOK]
    assert ["tools" in asked["parameters"] for asked in server.requests] == [True, False]


async def test_an_abandoned_stream_leaves_no_task_and_no_connection(server: Server) -> None:
    gate = threading.Event()
    server.says(Turn("a long answer " * 4000, gate=gate))
    stream = make("qwen3-vl-plus").astream("what?")
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    assert not await others()
    gate.set()
    assert await asyncio.to_thread(server.hung_up.wait, 5)


async def test_a_cancelled_call_leaves_no_task_and_no_connection(server: Server) -> None:
    call = asyncio.create_task(make("qwen3-vl-plus").ainvoke("there?"))
    while not server.requests:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await asyncio.to_thread(server.hung_up.wait, 5) and not await others()


async def test_every_session_is_closed(server: Server) -> None:
    import aiohttp

    server.says(Turn("yes"), refusal(500, "InternalError", "An internal error has occured."))
    policy = make("qwen3-vl-plus")
    await policy.ainvoke("there?")
    with pytest.raises(PolicyBusy):
        await policy.ainvoke("there?")
    gc.collect()
    assert all(each.closed for each in gc.get_objects() if type(each) is aiohttp.ClientSession)
    assert not await others()


async def test_concurrent_calls_get_their_own_answers(server: Server) -> None:
    server.answer = lambda body: Turn(body["input"]["messages"][0]["content"][0]["text"])
    policy = make("qwen3-vl-plus")
    replies = await asyncio.gather(*(policy.ainvoke(f"number {n}") for n in range(16)))
    assert [reply.text for reply in replies] == [f"number {n}" for n in range(16)]


async def test_invoke_works_inside_a_running_event_loop(server: Server) -> None:
    server.says(Turn("yes"))
    policy = make("qwen3-vl-plus", temperature=0.5, seed=7)
    assert policy.invoke("there?").text == "yes" and [c.text for c in policy.stream("there?")][0] == "yes"
    assert (await asyncio.to_thread(policy.invoke, "there?")).text == "yes"
    assert all((a["parameters"]["temperature"], a["parameters"]["seed"]) == (0.5, 7) for a in server.requests)


async def test_messages_have_the_documented_format(server: Server) -> None:
    server.says(Turn("yes"))
    picture = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    conversation: list[BaseMessage] = [
        SystemMessage("You see."),
        HumanMessage([{"type": "text", "text": "First:"}, picture, {"type": "image", "url": "https://host/2.jpg"}]),
        AIMessage("", tool_calls=[{"name": "detect_people", "args": {"what": "é"}, "id": "c1"}]),
        ToolMessage("two people", tool_call_id="c1"),
    ]
    await make("qwen3-vl-plus").ainvoke(conversation, stop=["</answer>"])
    assert server.requests[0]["input"]["messages"] == [
        {"role": "system", "content": [{"text": "You see."}]},
        {
            "role": "user",
            "content": [{"text": "First:"}, {"image": "data:image/png;base64,aGk="}, {"image": "https://host/2.jpg"}],
        },
        {
            "role": "assistant",
            "content": [{"text": ""}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "detect_people", "arguments": '{"what": "é"}'}}
            ],
        },
        {"role": "tool", "content": [{"text": "two people"}], "tool_call_id": "c1"},
    ]
    assert server.requests[0]["parameters"]["stop"] == ["</answer>"]
    with pytest.raises(ValueError, match="type 'video'"):
        await make("qwen3-vl-plus").ainvoke([HumanMessage([{"type": "video", "url": "https://host/1.mp4"}])])


async def test_a_text_that_names_a_file_uploads_no_file(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not for the cloud")
    server.says(Turn("yes"))
    for text in (str(secret), f"file://{secret}", "file:///nowhere"):
        await make("qwen3-vl-plus").ainvoke(text)
        assert server.requests[-1]["input"]["messages"][0]["content"] == [{"text": text}]
    assert "x-dashscope-ossresourceresolve" not in server.headers[-1]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("decompose", {"type": "function", "function": {"name": "decompose"}}),
    ],
)
async def test_tool_choice_is_sent(server: Server, choice: str, sent: Any) -> None:
    server.says(Turn("yes"))
    await make("qwen3-vl-plus").bind_tools(TOOLS, tool_choice=choice).ainvoke("there?")
    assert server.requests[0]["parameters"]["tool_choice"] == sent


async def test_any_is_supported_for_a_single_tool_only(server: Server) -> None:
    server.says(Turn("yes"))
    policy = make("qwen3-vl-plus")
    await policy.bind_tools(TOOLS[1:], tool_choice="any").ainvoke("there?")
    assert server.requests[0]["parameters"]["tool_choice"]["function"] == {"name": "decompose"}
    with pytest.raises(ValueError, match="'any' with the tools detect_people, decompose; name one"):
        policy.bind_tools(TOOLS, tool_choice="any")


async def test_a_call_in_broken_json_is_kept_as_invalid(server: Server) -> None:
    reply = json.loads(Turn(calls=[LOOK, NAME]).whole().data)
    calls = reply["output"]["choices"][0]["message"]["tool_calls"]
    calls[0]["function"]["arguments"] = '{"start": 0, "end'
    calls[1]["function"]["arguments"] = ""
    server.says(Raw(200, json.dumps(reply).encode()))
    heard = await make("qwen3-vl-plus").bind_tools(TOOLS).ainvoke("there?")
    assert [call["name"] for call in heard.invalid_tool_calls] == ["detect_people"]
    assert [(call["name"], call["args"]) for call in heard.tool_calls] == [("decompose", {})]


async def test_the_key_appears_in_the_request_only(
    server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import dashscope

    before = dashscope.api_key, dashscope.base_http_api_url
    caplog.set_level(logging.DEBUG)
    server.says(Turn("yes"), refusal(401, "InvalidApiKey", "Invalid API-key provided."), Raw(200, b"<", "text/html"))
    policy = make("qwen3-vl-plus")
    reply = await policy.ainvoke("there?")
    for _ in range(2):
        with pytest.raises(PolicyUnavailable):
            await policy.ainvoke("there?")
    assert KEY not in f"{policy!r} {policy} {policy.model_dump()} {policy._get_llm_string()} {reply!r}"
    assert KEY not in caplog.text and KEY not in "".join(capfd.readouterr())
    assert (dashscope.api_key, dashscope.base_http_api_url) == before
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_the_sdk_is_imported_late_and_prints_nothing(server: Server) -> None:
    server.says(refusal(500, "InternalError", "An internal error has occured."))
    program = (
        "import sys\n"
        "from video_star.graph.policies.dashscope import make\n"
        "print([name for name in ('dashscope', 'aiohttp') if name in sys.modules])\n"
        "try:\n    make('qwen3-vl-plus').invoke('there?')\n"
        "except Exception as error:\n    print(type(error).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\nPolicyBusy\n", "")


def test_the_address_comes_from_the_environment_or_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    import dashscope

    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", "https://dashscope-intl.aliyuncs.com/api/v1/")
    assert make("m").base_url == "https://dashscope-intl.aliyuncs.com/api/v1"
    monkeypatch.delenv("DASHSCOPE_HTTP_BASE_URL")
    assert make("m").base_url == dashscope.base_http_api_url == f"https://dashscope.aliyuncs.com{PATH[:7]}"


def test_a_missing_model_key_or_package_raises_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    with pytest.raises(UnknownPolicy, match="names no model"):
        make("")
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    with pytest.raises(UnknownPolicy, match="set the variable DASHSCOPE_API_KEY"):
        make("qwen3-vl-plus")
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    _conversation.cache_clear()
    monkeypatch.setitem(sys.modules, "dashscope", None)
    with pytest.raises(MissingExtra, match="pip install 'video-star.api.'"):
        make("qwen3-vl-plus")
