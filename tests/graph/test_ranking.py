"""Sub-actions are weighted by rank, and a ranking has every candidate once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_star.graph.ranking import rank, weigh, weights

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
