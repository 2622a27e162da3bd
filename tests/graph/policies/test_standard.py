"""LangChain's own standard tests of chat models, for every chat model of this package.

Models are tiny or on loopback. `act` stands for what they would say, so that the tests show how turns are sent, read
and streamed; each class declares what its model supports.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from PIL import Image

pytest.importorskip("langchain_tests", reason="needs the development dependencies")
pytest.importorskip("langchain_openai", reason="needs the extra [api]")
pytest.importorskip("dashscope", reason="needs the extra [api]")

from langchain_tests.integration_tests import ChatModelIntegrationTests  # noqa: E402
from langchain_tests.unit_tests import ChatModelUnitTests  # noqa: E402

from video_star.graph.policies.dashscope import DashScopePolicy  # noqa: E402
from video_star.graph.policies.kinematic.policy import KinematicPolicy  # noqa: E402
from video_star.graph.policies.local import TransformersPolicy  # noqa: E402
from video_star.graph.policies.openai_compatible import openai_client, served_model, vllm_server  # noqa: E402
from video_star.graph.policies.prompted_tools import ToolFallback, render_hermes  # noqa: E402
from video_star.graph.policies.vllm import VllmPolicy  # noqa: E402

from .. import fake_dashscope_server as dashscope  # noqa: E402
from .. import fake_model_server as compatible  # noqa: E402
from .. import fake_token_server as token_server  # noqa: E402

pytestmark = pytest.mark.slow
WORDS = "Hello, how are you today?"
VALUES = {"input": 3, "a": 3, "b": 4, "location": "San Francisco, CA", "answer_style": "pirate", "description": "firm"}
Act = tuple[str, list[tuple[str, dict[str, Any]]]]


def act(asked: str, tools: Sequence[Mapping[str, Any]], chosen: str = "") -> Act:
    """Text and calls of a turn after the user message `asked`; empty `asked`: after the result of a tool."""
    offered = [tool["function"] for tool in tools]
    wanted = [each for each in offered if each["name"] in (chosen or asked)] or offered[:1]
    if not asked or not wanted or "Write me" in asked:
        return WORDS, []
    quoted = re.findall(r"'([^']+)'", asked)
    known = {**VALUES, "customer_name": quoted[0] if quoted else "", "setup": "Why?", "punchline": "Because."}
    parameters = max(wanted, key=lambda each: len(each["name"]))
    names = (parameters.get("parameters") or {}).get("properties", {})
    return "", [(parameters["name"], {name: known[name] for name in names})]


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def compatible_reply(request: compatible.Body) -> compatible.Reply:
    last = request["messages"][-1]
    choice = request.get("tool_choice")
    chosen = choice["function"]["name"] if isinstance(choice, dict) else ""
    asked = text_of(last["content"]) if last["role"] == "user" else ""
    said, calls = act(asked, request.get("tools") or (), chosen)
    return compatible.completion(said or None, calls)


def prompted_reply(request: compatible.Body) -> compatible.Reply:
    """As `compatible_reply`, for a server that gets the tools as text."""
    assert "tools" not in request
    system, last = request["messages"][0], request["messages"][-1]
    listed = re.search(r"<tools>\n(\{.*\})\n</tools>", text_of(system["content"]), re.DOTALL)
    tools = [json.loads(line) for line in listed[1].splitlines()] if listed and system["role"] == "system" else []
    asked = text_of(last["content"])
    said, calls = act("" if "<tool_response>" in asked else asked, tools)
    return compatible.completion(render_hermes(said, [{"name": name, "args": args} for name, args in calls]))


def token_reply(prompt: str) -> str:
    """As `compatible_reply`, for a server that gets ids."""
    listed = re.search(r"<tools>\n(\{.*\})\n</tools>", prompt, re.DOTALL)
    tools = [json.loads(line) for line in listed[1].splitlines()] if listed else []
    last = prompt.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]
    said, calls = act("" if "<tool_response>" in last else last, tools)
    return render_hermes(said, [{"name": name, "args": args} for name, args in calls])


def dashscope_reply(body: dashscope.Body) -> dashscope.Reply:
    last, given = body["input"]["messages"][-1], body["parameters"]
    choice = given.get("tool_choice")
    chosen = choice["function"]["name"] if isinstance(choice, dict) else ""
    said, calls = act(text_of(last["content"]) if last["role"] == "user" else "", given.get("tools") or (), chosen)
    return dashscope.Turn(said, calls)


class Told(TransformersPolicy):
    """A tiny model whose turns with tools are forced: it is random, and would call none."""

    def _request(self, loaded: Any, messages: Any, tools: Any = (), *args: Any, **kwargs: Any) -> Any:
        said, calls = act(messages[-1].text if messages[-1].type == "human" else "", tools)
        text = render_hermes(said, [{"name": name, "args": args} for name, args in calls])
        told = self.model_copy(update={"forced": lambda _: text, "max_new_tokens": 200} if calls else {})
        return TransformersPolicy._request(told, loaded, messages, tools, *args, **kwargs)


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures that the standard tests download are replaced by one that is drawn here."""
    drawn = BytesIO()
    Image.new("RGB", (64, 64), "navy").save(drawn, "PNG")
    answer = httpx.Response(200, content=drawn.getvalue())
    monkeypatch.setattr(httpx, "get", lambda url, **options: answer)


class Declared:
    """What a model supports, and how it is made."""

    made: dict[str, Any]
    supports_model_override = False
    supports_image_inputs = True

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return self.made


class OfKinematic(Declared):
    """Rules: it calls the tools of this package only, and sees no pixels."""

    chat_model_class = KinematicPolicy
    made: dict[str, Any] = {}
    has_tool_calling = has_structured_output = has_tool_choice = supports_image_inputs = False


class OfTransformers(Declared):
    """A local model: which tool it calls cannot be prescribed, and images must be inlined."""

    chat_model_class = Told
    has_tool_choice = False

    @pytest.fixture(autouse=True)
    def make(self, tiny_qwen: Path) -> None:
        type(self).made = {"path": str(tiny_qwen), "max_new_tokens": 12}


class OfVllm(Declared):
    """vLLM by its routes for token ids."""

    chat_model_class = VllmPolicy
    has_tool_choice = False

    @pytest.fixture(autouse=True)
    def make(self, tokens: token_server.TokenServer) -> None:
        type(self).made = {"server": vllm_server(tokens.policy.removeprefix("vllm:"))}


class OfVllmCompletions(Declared):
    """vLLM by chat completions, where it has no routes for token ids."""

    chat_model_class = VllmPolicy
    has_tool_choice = False

    @pytest.fixture(autouse=True)
    def make(self, server: compatible.Server) -> None:
        type(self).made = {"server": vllm_server(f"tiny@{server.url}")}


class OfDashScope(Declared):
    """DashScope's native API, which can require one named tool only."""

    chat_model_class = DashScopePolicy
    has_tool_choice = supports_model_override = True
    supports_image_urls = True
    model_override_value = "qwen3-vl-flash"

    @pytest.fixture(autouse=True)
    def make(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with dashscope.serving(monkeypatch) as served:
            served.answer = dashscope_reply
            type(self).made = {"model": "qwen3-vl-plus", "api_key": dashscope.KEY, "base_url": served.url}
            yield


class OfToolFallback(Declared):
    """A model behind `openai:`, whose server takes tools."""

    chat_model_class = ToolFallback
    has_tool_choice = True
    supports_image_urls = True

    @pytest.fixture(autouse=True)
    def make(self, server: compatible.Server) -> None:
        client: BaseChatModel = openai_client()(model="tiny", base_url=server.url, api_key="none", stream_usage=True)
        type(self).made = {"model": client, "spec": "standard"}


class OfPromptedTools(Declared):
    """Tools as text, for servers without tool calling."""

    chat_model_class = ToolFallback
    has_tool_choice = False
    supports_image_urls = True

    @pytest.fixture(autouse=True)
    def make(self, server: compatible.Server) -> None:
        server.answer = prompted_reply
        model = served_model(vllm_server(f"tiny@{server.url}"))
        type(self).made = {"model": model, "spec": "standard prompted", "prompted": True}


@pytest.fixture
def server() -> Iterator[compatible.Server]:
    served = compatible.Server(("127.0.0.1", 0), compatible.Handler)
    served.requests, served.keys, served.answer = [], [], compatible_reply
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture(scope="module")
def tokens(tiny_qwen: Path) -> Iterator[token_server.TokenServer]:
    from transformers import AutoTokenizer

    with token_server.serving(AutoTokenizer.from_pretrained(str(tiny_qwen)), token_reply) as served:
        yield served


NO_ANY = "DashScope can require one named tool only, not any of several"


class TestKinematicUnit(OfKinematic, ChatModelUnitTests):
    pass


class TestKinematic(OfKinematic, ChatModelIntegrationTests):
    pass


class TestTransformersUnit(OfTransformers, ChatModelUnitTests):
    pass


class TestTransformers(OfTransformers, ChatModelIntegrationTests):
    pass


class TestVllmUnit(OfVllm, ChatModelUnitTests):
    pass


class TestVllm(OfVllm, ChatModelIntegrationTests):
    pass


class TestVllmCompletions(OfVllmCompletions, ChatModelIntegrationTests):
    pass


class TestDashScopeUnit(OfDashScope, ChatModelUnitTests):
    @pytest.mark.xfail(reason=NO_ANY, raises=ValueError, strict=True)
    def test_bind_tool_pydantic(self, model: Any, my_adder_tool: Any) -> None:
        super().test_bind_tool_pydantic(model, my_adder_tool)


class TestDashScope(OfDashScope, ChatModelIntegrationTests):
    @pytest.mark.xfail(reason=NO_ANY, raises=ValueError, strict=True)
    def test_tool_choice(self, model: Any) -> None:
        super().test_tool_choice(model)


class TestToolFallbackUnit(OfToolFallback, ChatModelUnitTests):
    pass


class TestToolFallback(OfToolFallback, ChatModelIntegrationTests):
    pass


class TestPromptedToolsUnit(OfPromptedTools, ChatModelUnitTests):
    pass


class TestPromptedTools(OfPromptedTools, ChatModelIntegrationTests):
    pass
