"""A chat model behind a tool: its name, its retries, and the sanitizing of its text.

`tests/tools/test_describe.py` and `tests/tools/knowledge/test_explain.py` cover failures, refusals and time limits.
"""

from types import SimpleNamespace

from video_star.tools.errors import PolicyUnavailable
from video_star.tools.execution.chat_model import DEFAULT_RETRY_DELAY, ToolModel, retry_delay, sanitize
from video_star.tools.registry import tool

from ...graph.conftest import Scripted

NAMES = {
    "dashscope:qwen-vl-max?api=compatible": "dashscope:qwen-vl-max",
    "vllm:Qwen/Qwen2.5-VL-7B@http://secret.host/v1": "vllm:Qwen2.5-VL-7B",
    "transformers:/home/somebody/models/tiny/": "transformers:tiny",
    "mine": "mine",
}


class Refused(Exception):
    def __init__(self, text: str, status: int, retry_after: str = "") -> None:
        super().__init__(text)
        self.response = SimpleNamespace(status_code=status, headers={"retry-after": retry_after} if retry_after else {})


def test_the_name_of_a_chat_model_reveals_no_address_and_no_folder() -> None:
    for spec, name in NAMES.items():
        model, other = ToolModel(Scripted(replies=[]), spec), ToolModel(Scripted(replies=[]), f"{spec}x")
        assert model.name == name and tool("describe_video", model).engine.startswith(f"{name} ")
        assert tool("describe_video", model).engine != tool("describe_video", other).engine
        assert "/" not in tool("describe_video", model).engine


def test_only_a_throttled_model_is_called_again_after_the_delay_of_its_server() -> None:
    cause = RuntimeError("the client failed")
    cause.__cause__ = Refused("slow down", 429, "7")
    out_of_quota = PolicyUnavailable("the quota is used up")
    out_of_quota.__cause__ = Refused("slow down", 429, "7")
    for error, delay in (
        (Refused("slow down", 429, "7"), 7.0),
        (Refused("Please try again in 300ms.", 429), 0.3),
        (Refused("retry after 2.5 s", 429), 2.5),
        (Refused("slow down", 429), DEFAULT_RETRY_DELAY),
        (cause, 7.0),
        (Refused("Please try again in 300ms.", 400), None),
        (out_of_quota, None),
        (ValueError("429"), None),
        (None, None),
    ):
        assert retry_delay(error) == delay, error


def test_sanitized_text_is_one_line_and_a_truncated_one_says_so() -> None:
    assert sanitize("a b", 3) == "a b"
    assert sanitize("abcdef", 5) == "ab..."
    assert sanitize("<a>\n\x1b\u202eb\ud83d", 50) == "(a) b"
    assert sanitize(sanitize("<a>\n\nb" * 99, 50), 50) == sanitize("<a>\n\nb" * 99, 50)
