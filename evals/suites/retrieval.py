"""Hit rates of the knowledge base's search: `python -m video_star.evals.suites.retrieval`.

A query is a hit at k if one of its right answers is among the first k labels of `knowledge.search`. The search was
tuned on `paraphrases.yaml`. `held_out.yaml` was written by someone who had seen neither code nor results, and was first
used when the search was finished. Rates have 95 % Wilson score intervals.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import yaml

from ...tools import knowledge
from ...tools.knowledge.encoders import ENCODERS, WORDS, encoder_in_use, why_unavailable
from ..metrics import wilson

TARGET = 0.90
DEPTH = 3
SETS = {"development": "paraphrases.yaml", "held-out": "held_out.yaml"}


@dataclass(frozen=True, slots=True)
class Query:
    """A text that a user might type, and the one to three labels that are right for it."""

    kind: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The first `DEPTH` labels found for a query, best first."""

    query: Query
    found: tuple[str, ...]

    def hit(self, k: int) -> bool:
        """Whether a right answer is among the first k labels."""
        return not set(self.query.answers).isdisjoint(self.found[:k])


def read_queries(name: str = "development") -> list[Query]:
    """The queries of one of `SETS`, in file order."""
    text = (files("video_star.evals.suites") / SETS[name]).read_text(encoding="utf-8")
    kinds: dict[str, dict[str, list[str]]] = yaml.safe_load(text)
    return [Query(kind, text, tuple(answers)) for kind, queries in kinds.items() for text, answers in queries.items()]


def measure(queries: Sequence[Query], encoder: str | None = None) -> list[Outcome]:
    """Search for every query once; `encoder` as in `knowledge.search`, None for the one in use."""
    return [Outcome(q, tuple(label for label, _ in knowledge.search(q.text, DEPTH, encoder))) for q in queries]


def rate_line(name: str, outcomes: Sequence[Outcome]) -> str:
    """Number of queries, then top-1 and top-`DEPTH` hit rate with their intervals, in percent."""
    rates = []
    for k in (1, DEPTH):
        rate = wilson(sum(outcome.hit(k) for outcome in outcomes), len(outcomes))
        rates.append(f"top-{k} {rate.value:6.1%} [{rate.low:6.1%}, {rate.high:6.1%}]")
    return f"{name:<12} {len(outcomes):>4}  {'   '.join(rates)}"


def main() -> int:
    """Print hit rates by set, encoder and kind of query, and what the encoder in use misses.

    Returns:
        1 if the held-out top-3 hit rate of the encoder in use is below the target, else 0.
    """
    for name in ENCODERS:
        if reason := why_unavailable(name):
            print(f"not measured: {reason}")
    rate, current = 0.0, encoder_in_use()
    for name in SETS:
        queries = read_queries(name)
        for encoder in [WORDS, *(encoder for encoder in reversed(ENCODERS) if not why_unavailable(encoder))]:
            outcomes = measure(queries, encoder)
            print(f"{name}, by {encoder}{' (in use)' if encoder == current else ''}")
            for kind in dict.fromkeys(query.kind for query in queries):
                print(rate_line(kind, [outcome for outcome in outcomes if outcome.query.kind == kind]))
            print(rate_line("all", outcomes))
            if encoder == current:
                rate = sum(outcome.hit(DEPTH) for outcome in outcomes) / len(outcomes)
                for miss in (outcome for outcome in outcomes if not outcome.hit(DEPTH)):
                    wanted, found = " | ".join(miss.query.answers), " | ".join(miss.found) or "nothing"
                    print(f"miss  {miss.query.kind}: {miss.query.text!r} wants {wanted}; found {found}")
    verdict = "PASS" if rate >= TARGET else "FAIL"
    print(f"{verdict}  held-out top-{DEPTH} hit rate {rate:.1%} by {current} (target {TARGET:.0%})")
    return 0 if rate >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
