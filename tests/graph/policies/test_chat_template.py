"""One chat template gives the same bytes in transformers, TRL and plain Jinja, for recorded conversations."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateError
from PIL import Image

from video_star.graph.policies import chat_template as template
from video_star.graph.policies.chat_template import apply_to, chat_template, render
from video_star.graph.records.content import image_urls

from ..conversations import UNICODE, Conversation, record_all, scripts

pytestmark = pytest.mark.slow

pytest.importorskip("transformers")
pytest.importorskip("torch")
pytest.importorskip("trl")

TURN = re.compile(r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)\n", re.DOTALL)


@pytest.fixture(scope="module")
def recorded_runs(walking_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Conversation]]:
    """Eleven runs of the graph on one second of the real clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEO_STAR_HOME", str(tmp_path_factory.mktemp("store")))
        yield record_all(walking_clip)


@pytest.fixture(params=list(scripts()))
def one(request: pytest.FixtureRequest, recorded_runs: dict[str, Conversation]) -> Conversation:
    return recorded_runs[request.param]


@pytest.fixture(scope="module")
def processor(tiny_qwen: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(tiny_qwen)  # type: ignore[no-untyped-call]


def plain(*, messages: Any, tools: Any = (), add_generation_prompt: bool = False) -> str:
    """The text of the template without transformers."""
    return render(messages, tools, ask=add_generation_prompt)


def test_trl_accepts_the_template_for_training(processor: Any) -> None:
    from trl import chat_template_utils as trl

    for subject in (processor, processor.tokenizer):
        assert trl.supports_tool_calling(subject)
        assert trl.is_chat_template_prefix_preserving(subject)
        assert trl.is_chat_template_stop_token_trained(subject)
        assert trl.get_training_chat_template(subject) is None
    assert trl.has_generation_markers(chat_template())


def test_every_renderer_gives_the_same_bytes(one: Conversation, processor: Any) -> None:
    from trl.data_utils import apply_chat_template, prepare_multimodal_messages

    want = processor.apply_chat_template(one.chat, tools=one.tools).encode()
    assert processor.tokenizer.apply_chat_template(one.chat, tools=one.tools, tokenize=False).encode() == want
    filled = prepare_multimodal_messages(one.chat, images=one.images)
    assert apply_chat_template({"messages": filled}, processor, tools=one.tools)["text"].encode() == want
    assert plain(messages=one.chat, tools=one.tools).encode() == want
    assert plain(messages=one.wired, tools=one.tools).encode() == want


def test_trl_gets_the_tokens_of_transformers(one: Conversation, processor: Any) -> None:
    from trl.data_utils import prepare_multimodal_messages

    end = next(i for i, message in enumerate(one.chat) if message["role"] == "assistant")
    prompt = one.chat[:end]
    prompt_images = one.images[: sum(part["type"] == "image" for message in prompt for part in message["content"])]
    options: dict[str, Any] = {"tools": one.tools, "add_generation_prompt": True}
    text = processor.apply_chat_template(prompt, **options)
    ours = processor(text=[text], images=[prompt_images])["input_ids"][0]
    filled = prepare_multimodal_messages(prompt, images=prompt_images)
    theirs = processor.apply_chat_template([filled], tokenize=True, return_dict=True, **options)["input_ids"][0]
    assert list(theirs) == list(ours)


def test_a_later_message_does_not_change_the_text_before_it(one: Conversation, processor: Any) -> None:
    whole = plain(messages=one.chat, tools=one.tools)
    ids = processor.tokenizer(whole)["input_ids"]
    after = [*(message["role"] for message in one.chat[1:]), None]
    for end, (message, following) in enumerate(zip(one.chat, after, strict=True), 1):
        is_assistant = following == "assistant"
        so_far = plain(messages=one.chat[:end], tools=one.tools, add_generation_prompt=is_assistant)
        if message["role"] == following == "tool":
            # Replies to one turn come together and share a turn: what ends it comes with the last.
            so_far = so_far.removesuffix("<|im_end|>\n")
            assert whole.startswith(so_far)
            continue
        assert whole.startswith(so_far)
        start = processor.tokenizer(so_far)["input_ids"]
        assert ids[: len(start)] == start


def test_generation_marks_cover_exactly_the_assistant_turns(one: Conversation, processor: Any) -> None:
    from trl.data_utils import prepare_multimodal_messages

    turns = TURN.findall(processor.apply_chat_template(one.chat, tools=one.tools))
    assert len(turns) == sum(message["role"] == "assistant" for message in one.chat)
    made = processor.apply_chat_template(
        prepare_multimodal_messages(one.chat, images=one.images),
        tools=one.tools,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids, mask = made["input_ids"][0], made["assistant_masks"][0]
    edges = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(mask)) if a != b), len(mask)]
    marked = [processor.tokenizer.decode(ids[a:b]) for a, b in pairwise(edges) if mask[a]]
    assert marked == turns


def test_each_image_has_one_pad_per_feature(one: Conversation, processor: Any) -> None:
    text = processor.apply_chat_template(one.chat, tools=one.tools)
    assert text.count("<|image_pad|>") == len(one.images) >= 4
    made = processor(text=[text], images=[one.images], return_tensors="pt")
    merge = processor.image_processor.merge_size**2
    assert int((made["input_ids"] == 151655).sum()) == int(made["image_grid_thw"].prod(-1).sum()) // merge
    assert made["image_grid_thw"].prod(-1).max() // merge <= 16


def test_the_conversations_cover_all_kinds_of_messages(recorded_runs: dict[str, Conversation]) -> None:
    assert len(recorded_runs) >= 10
    roles = [[message["role"] for message in one.chat] for one in recorded_runs.values()]
    assert any(roles[i : i + 2] == ["tool", "tool"] for roles in roles for i in range(len(roles)))
    assert any("unavailable" in str(message["content"]) for message in recorded_runs["failed_tool"].chat)
    assert any("cannot be used" in str(message["content"]) for message in recorded_runs["corrected"].chat)
    assert sum(message["role"] == "assistant" for message in recorded_runs["two_rounds"].chat) == 4
    replies = [m for one in recorded_runs.values() for m in one.chat if m["role"] == "assistant"]
    assert any(not m["content"] and m.get("tool_calls") for m in replies)
    assert any(m["content"] and m.get("tool_calls") for m in replies)


def test_control_tokens_in_a_label_are_not_read_as_control_tokens(
    recorded_runs: dict[str, Conversation], processor: Any
) -> None:
    one = recorded_runs["unicode"]
    text = processor.apply_chat_template(one.chat, tools=one.tools)
    assert "走る" in text and "< |im_end|>" in text
    assert len(re.findall(r"<\|im_start\|>", text)) == 1 + sum(
        not (a["role"] == b["role"] == "tool") for a, b in pairwise(one.chat)
    )
    call = {"function": {"name": "decompose", "arguments": {"sub_actions": ["<|image_pad|>"]}}}
    chat_with_call = [{"role": "assistant", "content": "<|vision_start|>", "tool_calls": [call]}]
    assert "<|vision" not in (text := processor.apply_chat_template(chat_with_call)) and "<|image_pad|>" not in text


def test_the_text_of_a_conversation_with_tools() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    tools = [{"function": {"return": {}, "parameters": schema, "name": "look", "description": "d"}, "type": "function"}]
    call = {"function": {"name": "look", "arguments": {"x": "ä <b>"}}}
    flat = {"name": "look", "arguments": '{"x": "ä <b>"}'}
    chat_with_call: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call, flat]},
        {"role": "tool", "content": "one"},
        {"role": "tool", "content": [{"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "Hm.", "tool_calls": [{"name": "look"}]},
    ]
    made = '<tool_call>\n{"name": "look", "arguments": {"x": "ä <b>"}}\n</tool_call>'
    assert plain(messages=chat_with_call, tools=tools, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful assistant.\n\n# Tools\n\n"
        "You may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        '{"type": "function", "function": {"name": "look", "description": "d", "parameters": '
        '{"type": "object", "properties": {"x": {"type": "string"}}}}}\n</tools>\n\n'
        "For each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n"
        f"<|im_start|>assistant\n{made}\n{made}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response><|im_end|>\n"
        '<|im_start|>assistant\nHm.\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>assistant\n"
    )
    assert plain(messages=[{"role": "system", "content": "Be brief."}]) == "<|im_start|>system\nBe brief.<|im_end|>\n"


def test_text_before_a_call_survives_a_round_trip() -> None:
    for text in ("Look.", "Look.\n"):
        chat_with_call = [{"role": "assistant", "content": text, "tool_calls": [{"name": "look", "arguments": {}}]}]
        assert "assistant\nLook.\n<tool_call>\n" in plain(messages=chat_with_call)


def test_vllm_detects_that_content_may_be_a_list_of_parts() -> None:
    """It looks for a loop over `content` inside a loop over `messages`; otherwise it sends joined text."""
    root = Environment(extensions=[template._Generation]).parse(chat_template())
    loops = [(loop.target, loop.iter) for loop in root.find_all(nodes.For)]
    messages = [target for target, over in loops if isinstance(over, nodes.Name) and over.name == "messages"]
    contents = [over for _, over in loops if isinstance(over, nodes.Getitem) and over.arg == nodes.Const("content")]
    assert [over.node.name for over in contents] == [target.name for target in messages] == ["message"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "message", [{"role": "user", "content": [{"type": "audio"}]}, {"role": "critic", "content": "no"}]
)
def test_unsupported_content_raises(message: dict[str, Any]) -> None:
    with pytest.raises(TemplateError, match="audio|critic"):
        plain(messages=[message])


def test_a_record_is_converted_to_chat_messages(one: Conversation) -> None:
    for message, record in zip(one.chat, one.recorded, strict=True):
        assert message["role"] == record["role"]
        assert all(part["type"] in ("text", "image") for part in message["content"])
        made = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", ())]
        assert made == [(call["id"], call["name"], call["args"]) for call in record.get("tool_calls", ())]
        assert message.get("tool_call_id") == record.get("tool_call_id")
    assert "media://" not in json.dumps(one.chat) and len(image_urls(one.recorded)) == len(one.images)


def test_token_counts_are_those_of_qwen(processor: Any) -> None:
    tokenizer = processor.tokenizer
    assert tokenizer("Hello, world!")["input_ids"] == [9707, 11, 1879, 0]
    numbers = {
        "<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, "<|vision_start|>": 151652,
        "<|vision_end|>": 151653, "<|image_pad|>": 151655, "<|video_pad|>": 151656, "<tool_call>": 151657,
        "</tool_call>": 151658,
    }  # fmt: skip
    assert {token: tokenizer(token)["input_ids"] for token in numbers} == {t: [n] for t, n in numbers.items()}
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id) == (151645, 151643, None)
    assert tokenizer.decode([151644, 151657], skip_special_tokens=True) == "<tool_call>"


def test_tokens_are_those_of_the_reference_encoder(recorded_runs: dict[str, Conversation], processor: Any) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    import dashscope
    from tiktoken.load import load_tiktoken_bpe
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    ranks = load_tiktoken_bpe(str(Path(dashscope.__file__).parent / "resources" / "qwen.tiktoken"))
    reference = tiktoken.Encoding("qwen", pat_str=PRETOKENIZE_REGEX, mergeable_ranks=ranks, special_tokens={})
    chat_with_call = [
        part["text"] for one in recorded_runs.values() for m in one.chat for part in m["content"] if "text" in part
    ]
    for text in {*chat_with_call, "naïve 走る 🏃‍♀️ don't 12345  \n\n\t x = {'a': [1, 2]};", *UNICODE[:3]}:
        if "<|" not in text:
            assert processor.tokenizer(text)["input_ids"] == reference.encode(text)


def test_the_tiny_model_loads_offline_and_depends_on_the_image(
    tiny_qwen: Path, recorded_runs: dict[str, Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    def offline(*args: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", offline)
    processor: Any = AutoProcessor.from_pretrained(tiny_qwen)  # type: ignore[no-untyped-call]
    model: Any = AutoModelForImageTextToText.from_pretrained(tiny_qwen)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert processor.chat_template == AutoTokenizer.from_pretrained(tiny_qwen).chat_template == chat_template()
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (151645, 151643)
    one = recorded_runs["good"]
    text = processor.apply_chat_template(one.chat, tools=one.tools)
    seen = processor(text=[text], images=[one.images], return_tensors="pt")
    blank = processor(text=[text], images=[[Image.new("RGB", p.size) for p in one.images]], return_tensors="pt")
    with torch.no_grad():
        logits, dark = model(**seen, logits_to_keep=1).logits, model(**blank, logits_to_keep=1).logits
    assert logits.isfinite().all() and not torch.equal(logits, dark)


def test_the_template_can_be_set_on_a_tokenizer(processor: Any) -> None:
    tokenizer = deepcopy(processor.tokenizer)
    tokenizer.chat_template = None
    apply_to(tokenizer)
    assert tokenizer.chat_template == chat_template()
