"""How well the knowledge base finds what people mean: `python -m video_star.evals.suites.retrieval`.

A query is hit at k where one of its right answers is among the first k labels of `knowledge.search`. The search was
tuned on `paraphrases.yaml`; `held_out.yaml` was written by someone who saw neither code nor results, and was measured
once, when the search was done. Rates come with a 95 % Wilson score interval (Wilson 1927).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import sqrt
from statistics import NormalDist

import yaml

from ...tools import knowledge
from ...tools.knowledge.encoders import ENCODERS, WORDS, chosen, lacking

TARGET = 0.90
DEPTH = 3
SETS = {"development": "paraphrases.yaml", "held-out": "held_out.yaml"}


@dataclass(frozen=True, slots=True)
class Query:
    """A text that a person might type, and the one to three labels that answer it."""

    kind: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search found for a query, best first, at most `DEPTH` labels."""

    query: Query
    found: tuple[str, ...]

    def hit(self, k: int) -> bool:
        """Whether a right answer is among the first k labels."""
        return not set(self.query.answers).isdisjoint(self.found[:k])


def read_queries(of: str = "development") -> list[Query]:
    """The queries of one of `SETS`, in the order of its file."""
    text = (files("video_star.evals.suites") / SETS[of]).read_text(encoding="utf-8")
    kinds: dict[str, dict[str, list[str]]] = yaml.safe_load(text)
    return [Query(kind, text, tuple(answers)) for kind, asked in kinds.items() for text, answers in asked.items()]


def measure(queries: Sequence[Query], by: str | None = None) -> list[Outcome]:
    """Search for every query once, with the encoder of that name."""
    return [Outcome(query, tuple(label for label, _ in knowledge.search(query.text, DEPTH, by))) for query in queries]


def wilson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a rate.

    Args:
        hits: Successes, 0 to `trials`.
        trials: At least 1.
        confidence: In (0, 1).

    Returns:
        Lower and upper bound, in [0, 1].
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = hits / trials
    centre = rate + z * z / (2 * trials)
    half = z * sqrt(rate * (1 - rate) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def rate_line(name: str, outcomes: Sequence[Outcome]) -> str:
    """One line: how many were asked, then top-1 and top-`DEPTH` rate with their intervals, in percent."""
    rates = []
    for k in (1, DEPTH):
        hits = sum(outcome.hit(k) for outcome in outcomes)
        low, high = wilson(hits, len(outcomes))
        rates.append(f"top-{k} {hits / len(outcomes):6.1%} [{low:6.1%}, {high:6.1%}]")
    return f"{name:<12} {len(outcomes):>4}  {'   '.join(rates)}"


def main() -> int:
    """Print for each set the rates by kind and overall, of every encoder that is here, and what the one in use misses.

    Returns:
        1 when the held-out top-3 rate of the encoder in use is under the target, else 0.
    """
    for name in ENCODERS:
        if why := lacking(name):
            print(f"not measured: {why}")
    rate = 0.0
    for of in SETS:
        queries = read_queries(of)
        for by in [WORDS, *(name for name in reversed(ENCODERS) if not lacking(name))]:
            outcomes = measure(queries, by)
            print(f"{of}, by {by}{' (in use)' if by == chosen() else ''}")
            for kind in dict.fromkeys(query.kind for query in queries):
                print(rate_line(kind, [outcome for outcome in outcomes if outcome.query.kind == kind]))
            print(rate_line("all", outcomes))
            if by == chosen():
                rate = sum(outcome.hit(DEPTH) for outcome in outcomes) / len(outcomes)
                for miss in (outcome for outcome in outcomes if not outcome.hit(DEPTH)):
                    wanted, found = " | ".join(miss.query.answers), " | ".join(miss.found) or "nothing"
                    print(f"miss  {miss.query.kind}: {miss.query.text!r} wants {wanted}; found {found}")
    verdict = "PASS" if rate >= TARGET else "FAIL"
    print(f"{verdict}  held-out top-{DEPTH} hit rate {rate:.1%} by {chosen()} (target {TARGET:.0%})")
    return 0 if rate >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
