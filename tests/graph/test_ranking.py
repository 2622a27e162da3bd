"""Sub-actions are weighted by rank, and a ranking has every candidate once."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_star.graph.ranking import rank, tied_for_first, weigh, weights

ACTIONS = ["ride bike", "walk", "Shake-Hands"]


def test_rank_k_of_n_weighs_n_minus_k_plus_1() -> None:
    assert weights(3) == [3, 2, 1]
    totals = weigh({1: {"walk": 10}, 2: {"walk": 10, "run": 10}, 3: {"run": 10}}, 3)
    assert totals == {"walk": pytest.approx(5 / 6), "run": pytest.approx(3 / 6)}


@given(st.dictionaries(st.integers(1, 5), st.dictionaries(st.sampled_from(ACTIONS), st.floats(0, 10)), max_size=5))
def test_weighted_scores_are_in_0_to_1(scores: dict[int, dict[str, float]]) -> None:
    assert all(0 <= total <= 1 + 1e-9 for total in weigh(scores, 5).values())


@given(st.lists(st.text(min_size=1), min_size=1, max_size=9, unique=True), st.data())
def test_a_ranking_holds_every_candidate_once_and_the_answer_first(actions: list[str], data: st.DataObject) -> None:
    totals = data.draw(st.dictionaries(st.sampled_from(actions), st.floats(0, 1)))
    answer = data.draw(st.sampled_from(actions))
    ranking = rank(actions, totals, answer)
    assert sorted(item["action"] for item in ranking) == sorted(actions)
    assert ranking[0]["action"] == answer
    rest = [item["score"] for item in ranking[1:]]
    assert rest == sorted(rest, reverse=True)


@given(st.dictionaries(st.text(min_size=1), st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=6), st.randoms())
def test_the_order_in_which_candidates_are_listed_decides_nothing(totals: dict[str, float], random: Random) -> None:
    shuffled = random.sample(list(totals), len(totals))
    assert rank(list(totals), totals) == rank(shuffled, totals)


def test_a_tie_is_one_for_the_best_score() -> None:
    assert tied_for_first(rank(["b", "a", "c"], {"a": 0.5, "b": 0.5 + 1e-9, "c": 0.2})) == ["a", "b"]
    assert tied_for_first(rank(["a", "b", "c"], {"a": 0.5, "b": 0.2, "c": 0.2})) == []
    assert tied_for_first(rank(["a"], {})) == tied_for_first([]) == []
    assert tied_for_first(rank(["a", "b", "c"], {"a": 0.5, "b": 0.5}, answer="c")) == ["a", "b"]
