"""One turn of the policy: ask, correct once, give up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.runnables import Runnable

from ..tools.errors import PolicyUnavailable
from ..tools.execution.media_store import MediaStore, default_store
from ..tools.execution.model_failures import model_failure, timed_out
from ..tools.execution.retries import retried
from .messages import as_sent
from .policies.grammar import Form
from .policies.token_limit import is_cut, token_limit
from .prompts import LONGEST_REPEATED, by_policy, correction, plain
from .records.token_track import TOKEN_TRACK
from .replies.errors import MalformedReply
from .state import Context
from .usage import NodeUsage

T = TypeVar("T")


@dataclass(frozen=True)
class Parsed(Generic[T]):
    """A turn as it was understood, after at most one correction."""

    value: T | None
    """What the last reply says; None if it is malformed."""
    replies: Sequence[AIMessage]
    """The policy's replies, one or two."""
    problems: Sequence[str]
    """What is wrong with each malformed reply; as many as there are replies if the turn was given up."""
    corrected: Sequence[AnyMessage]
    """The malformed first reply and the request to correct it, for the conversation; empty without a correction."""


@dataclass(frozen=True)
class Turn:
    """A turn of the policy in one node: what is asked, with which tools, for how long."""

    policy: BaseChatModel
    usage: NodeUsage
    """Counts the replies; its node is named in messages and errors."""
    seconds: float
    """Time limit of one reply."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Schemas of the tools to bind."""
    form: Form | None = None
    """Grammar or tool call that constrains the reply, as far as the policy supports it; None: unconstrained."""

    async def ask(self, messages: Sequence[AnyMessage]) -> AIMessage:
        """The policy's reply to the conversation. A request that fails is repeated as far as that may help.

        Only the request is repeated, not the node: a reply that came whole is not asked for, and paid, twice.

        Raises:
            PolicyBusy: The policy failed in a way that a further retry may cure.
            PolicyUnavailable: The policy or its server failed in any other way.
        """
        store = default_store()
        sent = await asyncio.to_thread(as_sent, messages, store)
        reply = await retried(lambda: self._reply(sent))
        self.usage.add_reply(reply)
        reply = by_policy(reply, self.usage.node)
        if TOKEN_TRACK in reply.response_metadata:
            await asyncio.to_thread(_store_tokens, reply, store)
        return reply

    async def _reply(self, sent: Sequence[BaseMessage]) -> AIMessage:
        """The reply to one request."""
        try:
            async with asyncio.timeout(self.seconds):
                return await self._bound().ainvoke(list(sent))
        except TimeoutError as error:
            raise timed_out("the policy", self.seconds) from error
        except PolicyUnavailable:
            raise
        except Exception as error:
            raise model_failure(error, f"the policy failed in {self.usage.node}") from error

    async def ask_for(
        self,
        messages: Sequence[AnyMessage],
        parse: Callable[[AIMessage], T],
        normalize: Callable[[AIMessage], AIMessage] = lambda reply: reply,
    ) -> Parsed[T]:
        """The policy's reply as a value. A malformed reply is corrected once; a second one is given up.

        Args:
            messages: The conversation so far.
            parse: Reads a reply, or raises `MalformedReply` with the problem in words for the policy.
            normalize: Rewrites a reply before it is parsed and kept.

        Raises:
            PolicyBusy, PolicyUnavailable: As in `ask`.
        """
        first = normalize(await self.ask(messages))
        try:
            return Parsed(parse(first), (first,), (), ())
        except MalformedReply as malformed:
            problem = malformed
        request = correction(str(problem), self.usage.node)
        corrected = (plain(first, LONGEST_REPEATED), request)
        second = normalize(await self.ask([*messages, *corrected]))
        try:
            return Parsed(parse(second), (first, second), (_problem(problem, first),), corrected)
        except MalformedReply as malformed:
            return Parsed(None, (first, second), (_problem(problem, first), _problem(malformed, second)), corrected)

    def _bound(self) -> Runnable[LanguageModelInput, AIMessage]:
        """The policy with its tools and, as far as it supports that, a grammar or a forced call."""
        tools = [dict(tool) for tool in self.tools]
        if self.form is not None and getattr(self.policy, "takes_grammar", False):
            if not tools:
                return self.policy.bind(grammar=self.form.grammar)
            return self.policy.bind_tools(tools, grammar=self.form.grammar)
        if not tools:
            return self.policy
        forced = None if self.form is None else self.form.call
        if forced is not None and (self.policy.profile or {}).get("tool_choice", True):
            # Providers refuse a forced call with different errors; such a model is then only asked to call the tool.
            with suppress(TypeError, ValueError, NotImplementedError):
                return self.policy.bind_tools(tools, tool_choice=forced)
        return self.policy.bind_tools(tools)


def _problem(malformed: MalformedReply, reply: AIMessage) -> str:
    """What is wrong with a reply, for the notes: also that it was cut off."""
    return f"{malformed}; {token_limit(reply)}" if is_cut(reply) else str(malformed)


def form_for(policy: BaseChatModel, context: Context, make: Callable[..., Form], *args: Any) -> Form | None:
    """The form `make(*args, reasoning)` that constrains this policy's output; None if the settings leave it free."""
    supported = getattr(policy, "takes_grammar", False)
    if context.structured == "never" or (context.structured == "auto" and not supported):
        return None
    return make(*args, context.reasoning)


def _store_tokens(reply: AIMessage, store: MediaStore) -> None:
    """Move the token ids and log-probabilities of a reply to the store."""
    track = reply.response_metadata.pop(TOKEN_TRACK)
    # On a full disk the tokens of the turn, which are needed for training only, are lost, but not the run.
    with suppress(OSError):
        reply.additional_kwargs["video_star"]["tokens"] = store.put_json(track)
