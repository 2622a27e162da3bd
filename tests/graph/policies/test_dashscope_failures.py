"""Failures of DashScope and of gateways before it, through the SDK and in the OpenAI-compatible mode."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dashscope", reason="needs the extra [api]")
pytest.importorskip("langchain_openai", reason="needs the extra [api]")

from video_star import Recognition, recognize  # noqa: E402
from video_star.graph import build_graph  # noqa: E402
from video_star.graph.policies.dashscope import DashScopePolicy, make  # noqa: E402
from video_star.graph.policies.openai_compatible import dashscope_server, served_model  # noqa: E402
from video_star.graph.policies.prompted_tools import ToolFallback, refuses_tools  # noqa: E402
from video_star.tools.errors import PolicyBusy, PolicyDisconnected, PolicyUnavailable, PolicyUnreachable  # noqa: E402
from video_star.tools.execution.retries import asked_delay  # noqa: E402

from .. import fake_model_server as compatible  # noqa: E402
from ..fake_dashscope_server import EVENTS, KEY, Body, Raw, Reply, Server, Turn, error_event, refusal, serving

pytestmark = pytest.mark.slow

NODES = {"tool_select", "tool_exec", "fuse", "decompose", "score"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as served:
        yield served


FAILURES: list[tuple[int, str, str, type[PolicyUnavailable], str]] = [
    (429, "Throttling", "Requests throttling triggered.", PolicyBusy, "wait"),
    (429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.", PolicyBusy, "wait"),
    (429, "Throttling.AllocationQuota", "Allocated quota exceeded, please increase your quota.", PolicyBusy, "wait"),
    (429, "Throttling.AllocationQuota", "Free allocated quota exceeded.", PolicyUnavailable, "quota of the model"),
    (429, "LimitRequests", "You exceeded your current requests list.", PolicyBusy, "wait"),
    (403, "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted.", PolicyUnavailable, "quota"),
    (400, "Arrearage", "Access denied, please make sure your account is in good standing.", PolicyUnavailable, "bills"),
    (429, "PostpaidBillOverdue", "The postpaid bill is overdue.", PolicyUnavailable, "unpaid bills"),
    (403, "AccessDenied.Unpurchased", "Access to model denied.", PolicyUnavailable, "never bought"),
    (401, "InvalidApiKey", f"Invalid API-key provided: {KEY}.", PolicyUnavailable, "set DASHSCOPE_API_KEY"),
    (403, "AccessDenied", "Access denied.", PolicyUnavailable, "the API key may not use 'qwen3-vl-plus'"),
    (403, "Model.AccessDenied", "Model access denied.", PolicyUnavailable, "the API key may not use 'qwen3-vl-plus'"),
    (404, "ModelNotFound", "The model can not be found.", PolicyUnavailable, "does not serve 'qwen3-vl-plus'"),
    (400, "InvalidParameter", "Model not exist.", PolicyUnavailable, "does not serve 'qwen3-vl-plus'"),
    (400, "DataInspectionFailed", "Input data may contain inappropriate content.", PolicyUnavailable, "content filter"),
    (
        400,
        "InvalidParameter",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]",
        PolicyUnavailable,
        "lower frames or pixels",
    ),
    (400, "InvalidParameter", "url error, please check url!", PolicyUnavailable, "accepts images"),
    (400, "InvalidParameter", "This model only support stream mode.", PolicyUnavailable, "only answers as a stream"),
    (400, "InvalidParameter", "The tool call is not supported.", PolicyUnavailable, "tools=prompted"),
    (500, "InternalError", "An internal error has occured, please try again later.", PolicyBusy, "try again later"),
    (500, "InternalError.Timeout", "An internal timeout error has occured.", PolicyBusy, "try again later"),
    (503, "ModelUnavailable", "Model is unavailable, please try again later.", PolicyBusy, "try again later"),
]


def told(failure: BaseException | None) -> str:
    """The text of an error and of all its causes."""
    return f"{failure!r} {failure} {told(failure.__cause__ or failure.__context__)}" if failure else ""


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("status", "code", "message", "kind", "remedy"), FAILURES)
async def test_a_refusal_is_reported_with_a_remedy(
    server: Server, status: int, code: str, message: str, kind: type, remedy: str, streams: bool
) -> None:
    server.says(Turn("a long answer", breaks=error_event(status, code, message)))
    if not streams:
        server.says(refusal(status, code, message))
    policy = make("qwen3-vl-plus")
    with pytest.raises(PolicyUnavailable, match=remedy) as failure:
        await (collect(policy) if streams else policy.ainvoke("there?"))
    assert type(failure.value) is kind and len(server.requests) == 1
    assert str(failure.value).startswith(f"{server.url} answered {code}: ") and "request req-1" in str(failure.value)
    assert KEY not in told(failure.value)
    assert refuses_tools(failure.value) is (message == "The tool call is not supported.")


async def collect(policy: DashScopePolicy) -> list[Any]:
    return [chunk async for chunk in policy.astream("there?")]


async def test_an_error_sent_as_an_event_is_read(server: Server) -> None:
    event = error_event(400, "Arrearage", "Access denied, please make sure your account is in good standing.")
    server.says(Raw(400, event.encode(), EVENTS))
    with pytest.raises(PolicyUnavailable, match="answered Arrearage: the account has unpaid bills"):
        await collect(make("qwen3-vl-plus"))


@pytest.mark.parametrize(
    "reply",
    [
        Raw(200, b'{"output": {"choices": [{"mess'),
        Raw(200, b"<html>Welcome to nginx!</html>", "text/html"),
        Raw(200, b"<html>Welcome to nginx!</html>"),
        Raw(200, b""),
        Raw(200, b"null"),
        Raw(200, b"[]"),
        Raw(200, b'{"request_id": "1"}'),
        Raw(200, b'{"output": {"choices": []}}'),
        Raw(200, b'{"output": {"choices": null}}'),
        Raw(200, b'{"output": {"choices": [{"finish_reason": "stop"}]}}'),
        Raw(200, b'{"output": {"choices": [{"message": {"role": "assistant", "tool_calls": 5}}]}}'),
        Raw(200, b'{"output": {"choices": [{"message": {"content": "a"}}]}, "usage": {"input_tokens": "many"}}'),
        Raw(200, b'data:{"output": {"choices": [{"mess\n\n', EVENTS),
        Raw(200, b'event:error\ndata:{"message": "no code"}\n\n', EVENTS),
    ],
)
async def test_an_invalid_response_raises_a_typed_error(server: Server, reply: Raw) -> None:
    server.says(reply)
    policy = make("qwen3-vl-plus")
    for asking in (policy.ainvoke("there?"), collect(policy)) if reply.kind != EVENTS else (collect(policy),):
        with pytest.raises(PolicyUnavailable, match="is not an answer of DashScope") as failure:
            await asking
        assert not isinstance(failure.value, PolicyBusy) and KEY not in told(failure.value)


async def test_the_retry_delay_is_kept_on_the_error(server: Server) -> None:
    server.says(refusal(429, "Throttling", "Too fast.")._replace(headers=(("Retry-After", "7"),)))
    with pytest.raises(PolicyBusy) as failure:
        await make("qwen3-vl-plus").ainvoke("there?")
    assert asked_delay(failure.value) == 7


@pytest.mark.parametrize(
    ("reply", "kind", "remedy"),
    [
        (Raw(502, b"<html>Bad Gateway</html>", "text/html"), PolicyBusy, "status 502: .*try again later"),
        (Raw(503, b'{"message": "no code"}'), PolicyBusy, "status 503: .*try again later"),
        (Raw(503, b'{"mess'), PolicyBusy, "status 503: .*try again later"),
        (Raw(404, b"<html>Not Found</html>", "text/html"), PolicyUnavailable, "ends in /api/v1"),
        (Raw(302, b"", "text/html"), PolicyUnavailable, "ends in /api/v1"),
        (Raw(200, b'{"output": {"choi', whole=False), PolicyDisconnected, "cut off"),
    ],
)
async def test_errors_of_a_gateway_are_classified(server: Server, reply: Raw, kind: type, remedy: str) -> None:
    server.says(reply)
    with pytest.raises(PolicyUnavailable, match=remedy) as failure:
        await make("qwen3-vl-plus").ainvoke("there?")
    assert type(failure.value) is kind and len(server.requests) == 1 and KEY not in told(failure.value)


async def test_a_stream_that_ends_early_raises(server: Server) -> None:
    server.says(Turn("a long answer", breaks="cut"), Raw(200, b"", EVENTS))
    for _ in range(2):
        with pytest.raises(PolicyDisconnected, match="ended its answer early"):
            await collect(make("qwen3-vl-plus"))


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_a_slow_server_fails_the_run_in_time(server: Server, streams: bool) -> None:
    gate = threading.Event()
    if streams:
        server.says(Turn("a long answer", gate=gate))
    policy = make("qwen3-vl-plus").model_copy(update={"seconds": 0.3})
    with pytest.raises(PolicyBusy, match="no answer within 0.3 s"):
        await (collect(policy) if streams else policy.ainvoke("there?"))
    gate.set()
    assert len(server.requests) == 1


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_the_sdk_does_not_retry_a_dropped_request(server: Server, streams: bool) -> None:
    def answer(body: Body) -> Reply:
        raise ConnectionAbortedError

    server.answer = answer
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    policy = make("qwen3-vl-plus")
    with pytest.raises(PolicyDisconnected, match=f"no answer from {server.url}: .*DASHSCOPE_HTTP_BASE_URL") as failure:
        await (collect(policy) if streams else policy.ainvoke("there?"))
    assert len(server.requests) == 1 and KEY not in told(failure.value)


async def test_an_unreachable_server_is_reported_with_a_remedy(server: Server) -> None:
    policy = make("qwen3-vl-plus")
    server.shutdown()
    server.server_close()
    with pytest.raises(PolicyUnreachable, match=f"no answer from {server.url}: "):
        await policy.ainvoke("there?")


@pytest.fixture
def openai_mode(monkeypatch: pytest.MonkeyPatch) -> Iterator[compatible.Server]:
    served = compatible.Server(("127.0.0.1", 0), compatible.Handler)
    served.requests, served.keys = [], []
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setenv("DASHSCOPE_BASE_URL", served.url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    yield served
    served.shutdown()
    served.server_close()


def refused(status: int, code: str, message: str) -> compatible.Reply:
    """An error in the format of the compatible mode."""
    error = {"message": message, "type": code, "param": None, "code": code}
    return status, {"error": error, "request_id": "req-1"}


@pytest.mark.usefixtures("warm")
class TestCompatibleMode:
    """The OpenAI-compatible mode, through OpenAI's client."""

    def ask(self, clip: Path, **settings: Any) -> Recognition:
        policy = ToolFallback(model=served_model(dashscope_server("qwen3-vl-plus")), spec="dashscope:qwen3-vl-plus?api")
        graph = build_graph(policy=policy).compile()
        return recognize(clip, ["walk", "run"], end=1, graph=graph, tools=["detect_people"], **settings)

    def test_a_run_completes(self, openai_mode: compatible.Server, walking_clip: Path) -> None:
        openai_mode.says(*compatible.GOOD)
        found = self.ask(walking_clip)
        assert found.action == "walk" and found.status == "ok" and set(found.usage.seconds) == NODES
        assert set(openai_mode.keys) == {f"Bearer {KEY}"} and len(openai_mode.requests) == 3

    def test_throttled_requests_are_retried(self, openai_mode: compatible.Server, walking_clip: Path) -> None:
        throttled = refused(429, "limit_requests", "You exceeded your current requests list.")
        openai_mode.says(compatible.GOOD[0], throttled, *compatible.GOOD[1:])
        assert self.ask(walking_clip).status == "ok" and len(openai_mode.requests) == 4

    @pytest.mark.parametrize(
        ("reply", "says"),
        [
            (refused(400, "Arrearage", "Access denied, please make sure your account is in good standing."), "good st"),
            (refused(403, "AllocationQuota.FreeTierOnly", "The free tier has been exhausted."), "free tier"),
            (refused(400, "data_inspection_failed", "Input data may contain inappropriate content."), "content filter"),
            ((200, b'{"choices": [{"mess'), "not a chat completion"),
            ((200, b"<html>Welcome to nginx!</html>"), "not a chat completion"),
        ],
        ids=["arrears", "quota", "filter", "malformed", "html"],
    )
    def test_a_permanent_failure_fails_the_run_at_once(
        self, openai_mode: compatible.Server, walking_clip: Path, reply: compatible.Reply, says: str
    ) -> None:
        openai_mode.says(compatible.GOOD[0], reply)
        found = self.ask(walking_clip)
        assert found.status == "failed" and found.error_type == "PolicyUnavailable" and says in str(found.error)
        assert len(openai_mode.requests) == 2 and KEY not in str(found.error)

    def test_a_slow_server_fails_the_run_in_time(self, openai_mode: compatible.Server, walking_clip: Path) -> None:
        gate = threading.Event()

        def answer(request: Body) -> compatible.Reply:
            gate.wait()
            return compatible.GOOD[0]

        openai_mode.answer = answer
        try:
            found = self.ask(walking_clip, policy_seconds=1)
        finally:
            gate.set()
        assert found.status == "failed" and "policy_seconds" in str(found.error) and len(openai_mode.requests) == 3

    async def test_the_compatible_mode_streams_words_and_usage(self, openai_mode: compatible.Server) -> None:
        openai_mode.says(compatible.completion("five people walk"))
        chunks = [chunk async for chunk in served_model(dashscope_server("qwen3-vl-plus")).astream("there?")]
        assert [chunk.text for chunk in chunks if chunk.text] == ["five ", "people ", "walk"]
        assert [chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata] == [20]
