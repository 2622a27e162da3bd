"""One turn of the policy: ask, correct once, give up."""

import asyncio
from typing import Any, ClassVar

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from video_star.graph.policies.grammar import decompose_form
from video_star.graph.policies.token_limit import is_cut
from video_star.graph.policies.token_policy import TokenReply, to_result
from video_star.graph.replies.errors import MalformedReply
from video_star.graph.state import Context
from video_star.graph.turn import Turn, form_for
from video_star.graph.usage import NodeUsage
from video_star.tools.errors import PolicyBusy

from .conftest import Scripted, says


def number(reply: AIMessage) -> int:
    """The reply as a number."""
    if not reply.text.isdigit():
        raise MalformedReply(f"{reply.text!r} is not a number")
    return int(reply.text)


@pytest.mark.parametrize(
    ("lines", "value", "problems"),
    [
        (["7"], 7, []),
        (["seven", "7"], 7, ["'seven' is not a number"]),
        (["seven", "eight"], None, ["'seven' is not a number", "'eight' is not a number"]),
    ],
)
async def test_a_malformed_reply_is_corrected_once(lines: list[str], value: int | None, problems: list[str]) -> None:
    policy = Scripted(replies=[says(line) for line in lines])
    usage = NodeUsage("score", {})  # type: ignore[typeddict-item]
    parsed = await Turn(policy, usage, 10).ask_for([HumanMessage("How many?")], number)
    assert parsed.value == value and list(parsed.problems) == problems
    assert [reply.text for reply in parsed.replies] == lines and len(policy.received) == len(lines)
    assert usage.update()["usage"]["policy_calls"] == len(lines)
    if len(lines) == 1:
        assert not parsed.corrected
    else:
        asked = policy.received[-1]
        assert [message.text for message in asked[:2]] == ["How many?", "seven"]
        assert [message.text for message in parsed.corrected] == [message.text for message in asked[1:]]
        assert problems[0] in asked[-1].text


async def test_a_reply_that_takes_too_long_is_given_up() -> None:
    class Hanging(Scripted):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.Event().wait()

    turn = Turn(Hanging(replies=[]), NodeUsage("score", {}), 0.05)  # type: ignore[typeddict-item]
    with pytest.raises(PolicyBusy, match="policy_seconds"):
        async with asyncio.timeout(30):
            await turn.ask([HumanMessage("How many?")])


async def test_a_reply_is_normalized_before_it_is_parsed_and_kept() -> None:
    turn = Turn(Scripted(replies=[says(" 7 ")]), NodeUsage("score", {}), 10)  # type: ignore[typeddict-item]
    stripped = lambda reply: reply.model_copy(update={"content": reply.text.strip()})  # noqa: E731
    parsed = await turn.ask_for([HumanMessage("How many?")], number, stripped)
    assert parsed.value == 7 and parsed.replies[-1].text == "7"


@pytest.mark.parametrize(
    ("structured", "grammar", "call"), [("auto", True, False), ("always", True, True), ("never", False, False)]
)
def test_output_is_constrained_as_the_settings_say(structured: Any, grammar: bool, call: bool) -> None:
    """auto: by grammar, if the policy supports grammars; always: other policies too; never: no policy."""

    class Grammatical(Scripted):
        takes_grammar: ClassVar[bool] = True

    context = Context(structured=structured, reasoning=50)
    form = form_for(Grammatical(replies=[]), context, decompose_form, ["walk"])
    assert (form is not None) is grammar and (form is None or "50" in form.grammar)
    other = form_for(Scripted(replies=[]), context, decompose_form, ["walk"])
    assert (other is not None and other.call == "decompose") is call


@pytest.mark.parametrize(
    "ended",
    [
        {"finish_reason": "length"},
        {"stop_reason": "max_tokens"},
        {"finish_reason": "MAX_TOKENS"},
        {"done_reason": "length"},
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    ],
)
async def test_a_reply_cut_off_at_the_token_limit_says_so(ended: dict[str, Any]) -> None:
    cut = says("sev")
    cut.response_metadata = ended
    policy = Scripted(replies=[cut, cut])
    parsed = await Turn(policy, NodeUsage("score", {}), 10).ask_for([HumanMessage("?")], number)  # type: ignore[typeddict-item]
    assert parsed.value is None and len(parsed.problems) == 2
    for problem in parsed.problems:
        assert "'sev' is not a number" in problem and "limit of 5 tokens" in problem and "?max_tokens=" in problem
    assert "max_tokens" not in policy.received[-1][-1].text


@pytest.mark.parametrize("ended", [{"finish_reason": "stop"}, {"stop_reason": None}, {"finish_reason": ["length"]}, {}])
async def test_a_complete_reply_is_not_called_cut(ended: dict[str, Any]) -> None:
    whole = says("seven")
    whole.response_metadata = ended
    turn = Turn(Scripted(replies=[whole, whole]), NodeUsage("score", {}), 10)  # type: ignore[typeddict-item]
    parsed = await turn.ask_for([HumanMessage("How many?")], number)
    assert list(parsed.problems) == ["'seven' is not a number"] * 2


def test_the_result_of_a_token_policy_says_that_it_was_cut() -> None:
    for cut in (True, False):
        reply = TokenReply((1,), (2, 3), (), "seven", "", cut)
        message = to_result(reply, "tiny").generations[0].message
        assert isinstance(message, AIMessage) and is_cut(message) is cut
