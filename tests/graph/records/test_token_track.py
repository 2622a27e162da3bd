"""Token tracks are kept in the record, and turns that extend each other form one sequence."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_star.graph import build_graph
from video_star.graph.records.token_track import Track, sequences, tracks
from video_star.graph.run import run_record
from video_star.tools.execution.media_store import default_store

ids = st.lists(st.integers(0, 9), min_size=1, max_size=6)


def turn(prompt: list[int], sampled: list[int], node: str = "score", message: int = 0) -> Track:
    return Track(node, message, tuple(prompt), tuple(sampled), tuple(-0.5 for _ in sampled))


def chain(parts: list[tuple[list[int], list[int]]]) -> list[Track]:
    """Turns that each read everything before them and some new tokens."""
    so_far: list[int] = []
    made = []
    for read, sampled in parts:
        so_far = [*so_far, *read]
        made.append(turn(so_far, sampled))
        so_far = [*so_far, *sampled]
    return made


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=5))
def test_turns_that_extend_are_one_sequence(parts: list[tuple[list[int], list[int]]]) -> None:
    turns = chain(parts)
    (one,) = sequences(turns)
    assert one.ids == [*turns[-1].prompt_ids, *turns[-1].completion_ids]
    assert [i for i, mine in zip(one.ids, one.completion_mask, strict=True) if mine] == [
        i for _, sampled in parts for i in sampled
    ]
    assert all((p == 0.0) != bool(mine) for p, mine in zip(one.logprobs, one.completion_mask, strict=True))
    for (_, start, end), track in zip(one.spans, turns, strict=True):
        assert tuple(one.ids[start:end]) == track.completion_ids and all(one.completion_mask[start:end])


def test_a_turn_that_does_not_extend_starts_a_fork() -> None:
    turns = [turn([1, 2], [3]), turn([1, 2, 3, 4], [5]), turn([1, 2, 9, 4, 5, 6], [7])]
    one, other = sequences(turns)
    assert one.ids == [1, 2, 3, 4, 5] and other.ids == [1, 2, 9, 4, 5, 6, 7]
    assert one.completion_mask == [0, 0, 1, 0, 1] and other.completion_mask == [0] * 6 + [1]


def test_a_turn_that_reads_other_tokens_than_were_sampled_starts_a_fork() -> None:
    """As when a server renders the same text anew and tokenises it in another way."""
    assert len(sequences([turn([1, 2], [3, 4]), turn([1, 2, 34, 5], [6])])) == 2
    assert len(sequences([turn([1, 2], [3, 4]), turn([1, 2, 3, 4, 5], [6])])) == 1


def test_log_probabilities_belong_to_the_sampled_tokens() -> None:
    with pytest.raises(ValueError, match="2 log-probabilities for 1"):
        Track("score", 0, (1,), (2,), (-1.0, -2.0))


async def test_tracks_are_kept_in_the_record_but_not_in_the_state(
    replies: Any, make_policy: Any, walking_clip: Path
) -> None:
    script = replies.good()
    prompt = list(range(5000))
    for line in script:
        track = {"prompt_ids": list(prompt), "completion_ids": [7, 8], "logprobs": [-0.1, -0.2]}
        line.response_metadata["token_track"] = track
        prompt += [7, 8, 9]
    star = build_graph(policy=make_policy(script)).compile()
    record = await run_record(walking_clip, ["walk", "run", "hug"], end=1, graph=star)
    assert record["tokens"] == {"turns": 3, "forks": 0}
    assert all(len(str(message)) < 40_000 and "token_track" not in str(message) for message in record["messages"])
    found = tracks(record["messages"], default_store())
    assert [track.node for track in found] == ["tool_select", "decompose", "score"]
    assert found[0].prompt_ids == tuple(range(5000)) and found[2].logprobs == (-0.1, -0.2)
    assert [record["messages"][track.message]["author"] for track in found] == ["policy"] * 3
    assert [message["extends"] for message in record["messages"] if "tokens" in message] == [False, True, True]


async def test_a_policy_without_tokens_has_no_tracks(replies: Any, make_policy: Any, walking_clip: Path) -> None:
    star = build_graph(policy=make_policy(replies.good())).compile()
    record = await run_record(walking_clip, ["walk", "run", "hug"], end=1, graph=star)
    assert record["tokens"] == {"turns": 0, "forks": 0}
