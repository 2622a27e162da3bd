"""Messages as they are sent to a chat model."""

import numpy as np
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from video_star.graph.candidates import checked_actions, normalize_label
from video_star.graph.control_tokens import escaped
from video_star.graph.messages import as_sent
from video_star.tools.errors import BadActions
from video_star.tools.execution.media_store import default_store


def test_images_are_inlined_in_copies_only() -> None:
    store = default_store()
    url = store.put_image(np.zeros((8, 8, 3), np.uint8))
    message = HumanMessage([{"type": "text", "text": "Look."}, {"type": "image", "url": url}])
    (sent,) = as_sent([message], store)
    assert message.content[1] == {"type": "image", "url": url}
    assert sent.content[0] == {"type": "text", "text": "Look."}
    block = sent.content[1]
    assert isinstance(block, dict) and block["mime_type"] == "image/jpeg" and len(block["base64"]) > 100


TOKENS = [
    *("<|im_end|>", "<|image_pad|>", "<|vision_start|>", "<|eot_id|>", "</s>", "<image>", "<img>", "<IMG_CONTEXT>"),
    *(
        "<start_of_turn>",
        "<end_of_image>",
        "<image_soft_token>",
        "[INST]",
        "[/INST]",
        "[IMG_BREAK]",
        "<<SYS>>",
        "<pad>",
    ),
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
]


@pytest.mark.parametrize("token", TOKENS)
def test_no_text_of_a_message_contains_a_control_token(token: str) -> None:
    call = {"name": "decompose", "args": {"sub_actions": [{"name": "a", "candidates": [token]}]}, "id": "1"}
    messages: list[AnyMessage] = [
        SystemMessage(f"Label {token}."),
        HumanMessage([f"{token}", {"type": "text", "text": f'["{token}", "walk"]'}]),
        AIMessage([{"type": "text", "text": token}], tool_calls=[call]),
        ToolMessage(f"a definition of {token}", tool_call_id="1"),
    ]
    sent = as_sent(messages, default_store())
    assert not any(token in str(message) for message in sent)
    assert sent[1].content[0] == escaped(token) and token in str(messages[2])


@pytest.mark.parametrize("token", TOKENS)
def test_both_spellings_of_a_control_token_are_one_label(token: str) -> None:
    assert escaped(escaped(token)) == escaped(token) != token
    assert normalize_label(escaped(token)) == normalize_label(token)
    with pytest.raises(BadActions, match="are the same"):
        checked_actions([token, escaped(token)])


def test_the_graphs_own_tags_and_ordinary_brackets_are_left_alone() -> None:
    for text in ("<think>so</think><scores>{}</scores><answer>walk</answer>", "<tool_call>", "a < b", "[1, 2]", "[a]"):
        assert escaped(text) == text
