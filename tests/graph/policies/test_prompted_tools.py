"""Tools as text: calls are rendered and parsed by one module, for any reply of a model."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from video_star.graph.policies.chat_template import chat_template
from video_star.graph.policies.prompted_tools import ToolFallback, as_text, refuses_tools, render_hermes
from video_star.graph.prompts import tool_schema
from video_star.graph.replies.tool_calls import parse_hermes

from ...growth import growth

Calls = list[dict[str, Any]]
PIECES = [
    *("<tool_call>", "</tool_call>", "```json\n", "```", "{", "}", "[", "]", '"name"', '"arguments"', ":", ",", "'"),
    *(
        '{"name": "a", "arguments": {}}',
        '"a"',
        "null",
        "\\",
        "\n",
        " ",
        "text",
        "\ud800",
        "{" * 2000,
        "9" * 5000,
        "NaN",
    ),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(
    st.fixed_dictionaries({"name": st.text(min_size=1), "args": st.dictionaries(st.text(), VALUES, max_size=3)}),
    max_size=3,
)


def read(text: str) -> tuple[str, Calls, int]:
    text_before, calls, invalid = parse_hermes(text)
    return text_before, [{"name": call["name"], "args": call["args"]} for call in calls], len(invalid)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=25).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    text_before, calls, invalid = parse_hermes(text)
    assert isinstance(text_before, str) and len({each["id"] for each in [*calls, *invalid]}) == len(calls) + len(
        invalid
    )
    if not calls and not invalid:
        assert text_before == text
    for call in calls:
        assert call["name"] and isinstance(call["args"], dict)
        render_hermes("", [dict(call)]).encode()


@given(st.text().map(str.strip).filter(lambda text: "<tool_call>" not in text and "```" not in text), CALLS)
@settings(max_examples=200, deadline=None)
def test_rendered_calls_are_parsed_back(text: str, calls: Calls) -> None:
    if not calls:
        return
    assert read(render_hermes(text, calls)) == (text, calls, 0)


A = {"name": "detect_people", "args": {"start": 0.5}}
B = {"name": "explain_actions", "args": {}}
HALF = {"name": "a", "args": {"b": "?"}}
SMILES = {"name": "a", "args": {"b": "\U0001f600"}}
JSON = '{"name": "detect_people", "arguments": {"start": 0.5}}'
OTHER = '{"name": "explain_actions", "arguments": {}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"I look.\n<tool_call>\n{JSON}\n</tool_call>", ("I look.", [A], 0)),
        (f"<tool_call>{JSON}</tool_call> and <tool_call>{OTHER}</tool_call>", ("and", [A, B], 0)),
        (f"<tool_call>\n{JSON}", ("", [A], 0)),
        (f"<tool_call>\n{JSON}\n<tool_call>\n{OTHER}", ("", [A, B], 0)),
        (f"<tool_call>\n{JSON}\n<tool_call>", ("", [A], 0)),
        (f"<tool_call>\n{JSON}\n{OTHER}\n</tool_call>", ("", [A, B], 0)),
        (f"<tool_call>[{JSON}, {OTHER}]</tool_call>", ("", [A, B], 0)),
        (f"<tool_call>\n```json\n{JSON}\n```\n</tool_call>", ("", [A], 0)),
        (f"```xml\n<tool_call>\n{JSON}\n</tool_call>\n```", ("", [A], 0)),
        (f"First:\n```json\n{JSON}\n```", ("First:", [A], 0)),
        (JSON, ("", [A], 0)),
        (f"<tool_call>{JSON}}}</tool_call>", ("", [A], 0)),
        (f"<tool_call>{JSON[:-1]}</tool_call>", ("", [A], 0)),
        ('<tool_call>{"name": "detect_people", "arguments": {"start": 0.5,},}</tool_call>', ("", [A], 0)),
        ("<tool_call>{'name': 'detect_people', 'arguments': {'start': 0.5}}</tool_call>", ("", [A], 0)),
        ('<tool_call>{"name": "detect_people", "arguments": "{\\"start\\": 0.5}"}</tool_call>', ("", [A], 0)),
        ('<tool_call>{"name": "detect_people", "parameters": {"start": 0.5}}</tool_call>', ("", [A], 0)),
        (f'<tool_call>{{"type": "function", "function": {JSON}}}</tool_call>', ("", [A], 0)),
        ('<tool_call>{"name": "explain_actions"}</tool_call>', ("", [B], 0)),
        ('<tool_call>{"name": "explain_actions", "arguments": null}</tool_call>', ("", [B], 0)),
        ("<tool_call>detect_people(start=0.5)</tool_call>", ("", [A], 0)),
        ("<tool_call>detect people</tool_call>", ("", [], 1)),
        ("<tool_call></tool_call>", ("", [], 1)),
        ('<tool_call>{"name": "a", "arguments": {"b": "\\ud83d\\ude00"},}</tool_call>', ("", [SMILES], 0)),
        (
            f"<think>Or <tool_call>{OTHER}</tool_call>?</think>",
            (f"<think>Or <tool_call>{OTHER}</tool_call>?</think>", [], 0),
        ),
        ("<tool_call>\n{}\n</tool_call>", ("", [], 1)),
        ('<tool_call>{"name": "a", "arguments": [1]}</tool_call>', ("", [], 1)),
        ('<tool_call>{"name": "a", "arguments": {"b": "\\ud800"}}</tool_call>', ("", [HALF], 0)),
        (f'<tool_call>{JSON}</tool_call><tool_call>{{"name": "a", </tool_call>', ("", [A], 1)),
        ("No tool is needed.", ("No tool is needed.", [], 0)),
        ('Such as {"name": "a", "arguments": {}} here.', ('Such as {"name": "a", "arguments": {}} here.', [], 0)),
        ('{"walk": 7}', ('{"walk": 7}', [], 0)),
        ('```json\n{"name": "walk"}\n```', ('```json\n{"name": "walk"}\n```', [], 0)),
    ],
)
def test_the_intended_value_is_read(text: str, expected: tuple[str, Calls, int]) -> None:
    assert read(text) == expected


def test_an_unreadable_call_keeps_its_name_and_text() -> None:
    (bad,) = parse_hermes('<tool_call>{"name": "detect_people", start}</tool_call>')[2]
    assert bad["name"] == "detect_people" and bad["args"] == '{"name": "detect_people", start}'


@pytest.mark.parametrize("unit", ["<tool_call>", "<tool_call>{", "[", "```"])
def test_parsing_takes_linear_time(unit: str) -> None:
    assert growth(lambda size: parse_hermes("<tool_call>" + unit * (size // len(unit))), 50_000) < 3


def conversation() -> list[AnyMessage]:
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/jpeg"}
    return [
        SystemMessage("You look."),
        HumanMessage([{"type": "text", "text": "What?"}, image]),
        AIMessage("I see.", tool_calls=[{**A, "id": "1"}, {**B, "id": "2"}]),
        ToolMessage("two people", tool_call_id="1"),
        ToolMessage("a hug is ...", tool_call_id="2"),
        HumanMessage([image, {"type": "text", "text": "Go on."}]),
        AIMessage("Done."),
        HumanMessage("Sure?"),
    ]


def test_images_keep_their_place_and_roles_alternate() -> None:
    converted = as_text(conversation(), [tool_schema("decompose")])
    assert [message.type for message in converted] == ["system", "human", "ai", "human", "ai", "human"]
    assert converted[1].content == conversation()[1].content
    assert converted[3].content == [
        {
            "type": "text",
            "text": "<tool_response>\ntwo people\n</tool_response>\n<tool_response>\na hug is ...\n</tool_response>\n",
        },
        *conversation()[5].content,
    ]
    assert not any(getattr(message, "tool_calls", None) for message in converted)


def test_tools_as_text_equal_the_text_of_the_chat_template() -> None:
    utilities = pytest.importorskip("transformers.utils.chat_template_utils", reason="needs the extra [local]")
    tools = [tool_schema("detect_people"), tool_schema("decompose")]

    def rendered(messages: list[Any], tools: list[Any] | None) -> str:
        texts, _ = utilities.render_jinja_template(
            conversations=[messages], tools=tools, chat_template=chat_template(), add_generation_prompt=True
        )
        return str(texts[0])

    calls = [{"type": "function", "function": {"name": c["name"], "arguments": c["args"]}} for c in (A, B)]
    with_tools = [
        {"role": "system", "content": "You look."},
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "I see.", "tool_calls": calls},
        {"role": "tool", "content": "two people"},
        {"role": "tool", "content": "a hug is ..."},
    ]
    roles = {"system": "system", "human": "user", "ai": "assistant"}
    messages = [SystemMessage("You look."), HumanMessage("What?"), *conversation()[2:5]]
    plain = [{"role": roles[message.type], "content": message.content} for message in as_text(messages, tools)]
    assert rendered(plain, None) == rendered(with_tools, tools)


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status


@pytest.mark.parametrize(
    ("status", "message", "refused"),
    [
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', True),
        (400, "registry.example/llava does not support tools", True),
        (404, "No endpoints found that support tool use.", True),
        (422, "Extra inputs are not permitted: functions", True),
        (404, "The model `tiny` does not exist.", False),
        (400, "maximum context length is 4096 tokens", False),
        (500, "tools param requires --jinja flag", True),
        (500, "the tool parser crashed", False),
        (429, "too many tools", False),
    ],
)
def test_a_refusal_of_tools_is_recognised(status: int, message: str, refused: bool) -> None:
    try:
        raise RuntimeError("typed") from Refusal(status, message)
    except RuntimeError as error:
        assert refuses_tools(error) is refused


class Echo(BaseChatModel):
    """A model that accepts tools and grammars, or rejects tools; its reply lists the options it got."""

    refuses: bool = False
    takes_grammar: bool = True

    @property
    def _llm_type(self) -> str:
        return "echo"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=list(tools), **kwargs)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if self.refuses and "tools" in kwargs:
            raise Refusal(400, "no tools, please")
        given = {name: value for name, value in kwargs.items() if name != "tools"}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(json.dumps(given)))])

    async def _astream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for part in self._generate(messages, *args, **kwargs).generations[0].message.text.partition(": "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=part))


async def test_a_grammar_is_passed_only_to_a_model_that_supports_grammars() -> None:
    def asked(model: ToolFallback) -> Any:
        return model.bind_tools([tool_schema("decompose")], grammar='root ::= "a"')

    able = ToolFallback(model=Echo(), spec="able")
    assert able.takes_grammar
    whole = [asked(able).invoke("Go."), await asked(able).ainvoke("Go.")]
    streamed = [chunk.text async for chunk in asked(able).astream("Go.")]
    assert {reply.text for reply in whole} | {"".join(streamed)} == {json.dumps({"grammar": 'root ::= "a"'})}
    assert len(streamed) > 1
    unable = ToolFallback(model=Echo(takes_grammar=False), spec="unable")
    assert not unable.takes_grammar and asked(unable).invoke("Go.").text == "{}"


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
async def test_after_a_refusal_tools_are_sent_as_text_without_a_grammar(way: str) -> None:
    model = ToolFallback(model=Echo(refuses=True), spec=f"refusing {way}")
    assert model.takes_grammar
    bound = model.bind_tools([tool_schema("decompose")], grammar='root ::= "a"')
    if way == "astream":
        text = "".join([chunk.text async for chunk in bound.astream("Go.")])
    else:
        text = (bound.invoke("Go.") if way == "invoke" else await bound.ainvoke("Go.")).text
    assert text == "{}" and not model.takes_grammar
