"""What every node shares: one policy turn within its time limit, time kept, and a word to whoever watches."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.runnables import Runnable
from langgraph.runtime import Runtime

from ..tools.errors import PolicyUnavailable
from ..tools.execution.media_store import SCHEME, MediaStore, default_store
from .policies.errors import PolicyBusy, policy_failure
from .policies.grammar import Form
from .prompts import by_policy
from .records.token_track import TOKEN_TRACK
from .state import Context, Price, State

T = TypeVar("T")
_CALL_BLOCKS: Final = {"tool_use", "tool_call", "function_call"}
"""Types of content blocks that repeat a call of the message."""
_RAW_CALLS: Final = {"tool_calls", "function_call"}
"""Where clients keep the calls of a message as its server wrote them."""


class Stopwatch:
    """Time and cost of one pass through a node, as the state keeps them."""

    def __init__(self, node: str, state: State, price: Price | None = None) -> None:
        """Start the clock of `node`; `price` is that of the policy's tokens, where it is known."""
        self.node = node
        self._state = state
        self._price = price
        self._unix, self._clock = time.time(), time.perf_counter()
        self._calls = 0
        self._tokens: dict[str, int] = {}
        self._tool_tokens: dict[str, int] = {}
        self._reported: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the node began."""
        return time.perf_counter() - self._clock

    def count(self, reply: AIMessage) -> None:
        """Add one policy turn, its tokens, and what the provider says that it cost."""
        self._calls += 1
        if used := reply.usage_metadata:
            counted: dict[str, int | None] = {"input": used["input_tokens"], "output": used["output_tokens"]}
            counted["cached"] = used.get("input_token_details", {}).get("cache_read")
            for kind, number in counted.items():
                if number is not None:
                    self._tokens[kind] = self._tokens.get(kind, 0) + number
        cost = (reply.response_metadata.get("token_usage") or {}).get("cost")
        if isinstance(cost, int | float):
            self._reported = (self._reported or 0.0) + cost

    def count_tool(self, tokens: Mapping[str, int]) -> None:
        """Add tokens of a chat model behind a tool: apart from the policy's, whose price is another."""
        for kind, number in tokens.items():
            self._tool_tokens[kind] = self._tool_tokens.get(kind, 0) + number

    def update(self, *, fresh: bool = False) -> dict[str, Any]:
        """The state's usage and timings with this pass added; `fresh` starts both anew."""
        began = self._unix if fresh else self._state.get("began", self._unix)
        timings = [] if fresh else list(self._state.get("timings", ()))
        usage = {} if fresh else self._state.get("usage") or {}
        took = round(self.seconds, 4)
        timings.append({"node": self.node, "start": round(max(0.0, self._unix - began), 4), "seconds": took})
        tokens, seconds = dict(usage.get("tokens", {"input": 0, "output": 0})), dict(usage.get("seconds", {}))
        for kind, number in self._tokens.items():
            tokens[kind] = tokens.get(kind, 0) + number
        by_tools = dict(usage.get("tool_tokens", {}))
        for kind, number in self._tool_tokens.items():
            by_tools[kind] = by_tools.get(kind, 0) + number
        seconds[self.node] = round(seconds.get(self.node, 0.0) + took, 4)
        return {
            "began": began,
            "timings": timings,
            "usage": {
                "policy_calls": usage.get("policy_calls", 0) + self._calls,
                "tokens": tokens,
                **({"tool_tokens": by_tools} if by_tools else {}),
                "cost": self._cost(tokens, usage.get("cost")),
                "seconds": seconds,
            },
        }

    def _cost(self, tokens: Mapping[str, int], before: dict[str, Any] | None) -> dict[str, Any] | None:
        """{amount, currency} of the run up to here, by the price of all its tokens or else by what was reported."""
        if self._price is not None:
            return {"amount": round(self._price.of(tokens), 6), "currency": self._price.currency}
        if self._reported is None:
            return before
        # OpenRouter, which reports it, counts in US dollars.
        return {"amount": round((before["amount"] if before else 0.0) + self._reported, 6), "currency": "USD"}


async def speak(
    policy: BaseChatModel,
    messages: Sequence[AnyMessage],
    watch: Stopwatch,
    limit: float,
    tools: Sequence[Mapping[str, Any]] = (),
    form: Form | None = None,
) -> AIMessage:
    """One turn of the policy, within `limit` seconds, with pixels inlined for this call only.

    Args:
        policy: A chat model.
        messages: The conversation so far.
        watch: Where the turn is counted.
        limit: Seconds.
        tools: Schemas of the tools to bind.
        form: What the turn must look like, for a policy that can be held to it. None leaves it free.

    Raises:
        PolicyBusy: A failure that trying again can cure.
        PolicyUnavailable: Any other failure of the model or its server.
    """
    inlined = await asyncio.to_thread(inline, messages, default_store())
    model = _bound(policy, [dict(tool) for tool in tools], form)
    try:
        async with asyncio.timeout(limit):
            reply = await model.ainvoke(inlined)
    except TimeoutError as error:
        raise PolicyBusy(
            f"the policy gave no answer within {limit:g} s; raise policy_seconds or use a faster model"
        ) from error
    except PolicyUnavailable:
        raise
    except Exception as error:
        raise policy_failure(error, watch.node) from error
    watch.count(reply)
    return await asyncio.to_thread(_kept, by_policy(reply, watch.node), default_store())


def held(policy: BaseChatModel, context: Context, form: Callable[..., Form], *args: Any) -> Form | None:
    """The form `form(*args, reasoning)` that the settings hold this policy to; None where its turns are free."""
    grammar = getattr(policy, "takes_grammar", False)
    if context.structured == "never" or (context.structured == "auto" and not grammar):
        return None
    return form(*args, context.reasoning)


def _bound(
    policy: BaseChatModel, tools: list[dict[str, Any]], form: Form | None
) -> Runnable[LanguageModelInput, AIMessage]:
    """The policy with its tools, held to the form as far as it takes one: a grammar, else the call, else nothing."""
    if form is not None and getattr(policy, "takes_grammar", False):
        if not tools:
            return policy.bind(grammar=form.grammar)
        return policy.bind_tools(tools, grammar=form.grammar)
    if not tools:
        return policy
    if form is not None and form.call is not None and (policy.profile or {}).get("tool_choice", True):
        # Each provider refuses in its own words: a model that cannot be told to call is asked to.
        with suppress(TypeError, ValueError, NotImplementedError):
            return policy.bind_tools(tools, tool_choice=form.call)
    return policy.bind_tools(tools)


async def aside(work: Callable[..., T], *args: Any) -> T:
    """What `work(*args)` returns, from a thread of its own that nobody waits for once it is given up.

    The threads of `asyncio.to_thread` are waited for when the program ends: an engine that hangs would hang it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work(*args)
        except BaseException as raised:
            error = raised
        # The loop may have ended while the work went on.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return await done


def inline(messages: Sequence[AnyMessage], store: MediaStore) -> list[BaseMessage]:
    """The messages as they are sent: `media://` references are the pictures themselves, and no call is left over.

    Some clients keep a turn's calls a second time, as blocks of its content or as the server wrote them. Of a turn that
    was corrected, or whose calls were made one, they would send calls without a result, which servers refuse.
    """
    return [_sent(message, store) for message in messages]


def _sent(message: BaseMessage, store: MediaStore) -> BaseMessage:
    update: dict[str, Any] = {}
    if isinstance(message.content, list):
        update["content"] = [_block(block, store) for block in message.content if not _left_over(block, message)]
    if isinstance(message, AIMessage) and _RAW_CALLS & message.additional_kwargs.keys():
        update["additional_kwargs"] = {k: v for k, v in message.additional_kwargs.items() if k not in _RAW_CALLS}
    return message.model_copy(update=update) if update else message


def _left_over(block: Any, message: BaseMessage) -> bool:
    """Whether a block of a policy's turn is a call that the turn does not make."""
    if not isinstance(message, AIMessage) or not isinstance(block, dict) or block.get("type") not in _CALL_BLOCKS:
        return False
    return block.get("call_id", block.get("id")) not in [call["id"] for call in message.tool_calls]


def emit(runtime: Runtime[Context], node: str, **what: Any) -> None:
    """Tell whoever streams `custom` events what this node chose or found; every value is plain JSON."""
    runtime.stream_writer({"node": node, **what})


def _kept(reply: AIMessage, store: MediaStore) -> AIMessage:
    """The turn with its token track, where the backend gives one, put in the store."""
    track = reply.response_metadata.pop(TOKEN_TRACK, None)
    if track is not None:
        # A full disk costs the tokens of the turn, which are for training, not the run.
        with suppress(OSError):
            reply.additional_kwargs["video_star"]["tokens"] = store.put_json(track)
    return reply


def _block(block: Any, store: MediaStore) -> Any:
    if isinstance(block, dict) and block.get("type") == "image" and str(block.get("url", "")).startswith(SCHEME):
        data = base64.b64encode(store.get(block["url"])).decode()
        return {"type": "image", "base64": data, "mime_type": "image/jpeg"}
    return block
