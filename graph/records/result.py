"""The result of a run."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from ..state import Status


class Ranked(BaseModel):
    """A candidate and its score."""

    action: str
    score: float = Field(ge=0, le=1, description="As the policy gave it; not a probability.")


class SubAction(BaseModel):
    """One sub-action with its scores."""

    name: str
    rank: int = Field(ge=1)
    weight: int = Field(ge=1, description="w_k = n - k + 1 for rank k of n.")
    candidates: list[str]
    scores: dict[str, float] = Field(description="Candidate to score, 0 to 10.")


class Evidence(BaseModel):
    """The evidence of one tool call."""

    tool: str
    status: str = Field(description="ok or unavailable.")
    seconds: float
    summary: str
    start: float
    end: float
    round: int = 1
    measured: dict[str, Any] | None = Field(
        default=None,
        description="What track_motion measured, as data; None for other tools and in older records.",
    )
    frames: list[dict[str, Any]] = Field(default_factory=list, description="{url: media://..., time: seconds}.")


class Tokens(BaseModel):
    """Token counts as reported by the backend of the policy; 0 if it reports none."""

    input: int = 0
    output: int = 0
    cached: int | None = Field(default=None, description="Cached tokens of the input, if the server reports them.")


class Cost(BaseModel):
    """The cost, from the price in the settings or as reported by the provider."""

    amount: float
    currency: str


class Usage(BaseModel):
    """Calls, tokens, cost and time of the run."""

    policy_calls: int = 0
    tokens: Tokens = Tokens()
    cost: Cost | None = Field(default=None, description="None if no price is set and no cost is reported.")
    tool_tokens: Tokens | None = Field(
        default=None, description="Of the chat models behind tools, if any was used; not included in tokens and cost."
    )
    seconds: dict[str, float] = Field(default_factory=dict, description="Wall-clock seconds by node.")


class Recognition(BaseModel):
    """The recognised action and everything that supports it."""

    action: str | None = Field(description="The chosen candidate; None when the run failed.")
    status: Status
    error: str | None = Field(default=None, description="Why the run failed.")
    error_type: str | None = Field(
        default=None, description="Class of the error. None in records of older versions, whose error begins with it."
    )
    confidence: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Probability that the action is right; None if it was not calibrated, and in older records.",
    )
    calibrated_on: str | None = Field(default=None, description="Data on which the confidence was calibrated.")
    ranking: list[Ranked] = Field(default_factory=list, description="Every candidate, best first.")
    sub_actions: list[SubAction] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    notes: list[str] = Field(
        default_factory=list, description="What failed or was corrected, and what the answer lacks."
    )
    usage: Usage = Usage()
