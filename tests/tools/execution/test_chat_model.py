"""A chat model behind a tool: its name, and the sanitizing of its text.

`tests/tools/test_describe.py` and `tests/tools/knowledge/test_explain.py` cover failures, refusals and time limits.
"""

from video_star.tools.execution.chat_model import ToolModel, sanitize
from video_star.tools.registry import tool

from ...graph.conftest import Scripted

NAMES = {
    "dashscope:qwen-vl-max?api=compatible": "dashscope:qwen-vl-max",
    "vllm:Qwen/Qwen2.5-VL-7B@http://secret.host/v1": "vllm:Qwen2.5-VL-7B",
    "transformers:/home/somebody/models/tiny/": "transformers:tiny",
    "mine": "mine",
}


def test_the_name_of_a_chat_model_reveals_no_address_and_no_folder() -> None:
    for spec, name in NAMES.items():
        model, other = ToolModel(Scripted(replies=[]), spec), ToolModel(Scripted(replies=[]), f"{spec}x")
        assert model.name == name and tool("describe_video", model).engine.startswith(f"{name} ")
        assert tool("describe_video", model).engine != tool("describe_video", other).engine
        assert "/" not in tool("describe_video", model).engine


def test_sanitized_text_is_one_line_and_a_truncated_one_says_so() -> None:
    assert sanitize("a b", 3) == "a b"
    assert sanitize("abcdef", 5) == "ab..."
    assert sanitize("<a>\n\x1b\u202eb\ud83d", 50) == "(a) b"
    assert sanitize(sanitize("<a>\n\nb" * 99, 50), 50) == sanitize("<a>\n\nb" * 99, 50)
