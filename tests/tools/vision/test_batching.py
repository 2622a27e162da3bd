"""Calls that come while a batch is at work are the next batch, and each gets what is its own."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from video_star.tools.vision.batching import Batcher


class Network:
    """Doubles its rows; its first batch waits until it is let go, and rows below 0 are refused."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.batches.append(len(rows))
        self.begun.set()
        assert self.go.wait(30)
        if (rows < 0).any():
            raise ValueError("below 0")
        return rows * 2


def meanwhile(network: Network, most: int, asked: list[np.ndarray]) -> list[Future[np.ndarray]]:
    """Ask for one row, and for all of these while that is at work."""
    together = Batcher(network, most)
    with ThreadPoolExecutor(len(asked) + 1) as pool:
        first = pool.submit(together, np.ones((1, 2)))
        assert network.begun.wait(30)
        calls = [pool.submit(together, rows) for rows in asked]
        while len(together._waiting) < len(asked):
            pass
        network.go.set()
    assert first.result().tolist() == [[2, 2]]
    return calls


def test_what_is_asked_meanwhile_goes_through_together_and_comes_back_apart() -> None:
    network = Network()
    asked = [np.full((count, 2), float(count)) for count in (1, 2, 3)]
    found = [call.result() for call in meanwhile(network, 16, asked)]
    assert network.batches == [1, 6]
    for rows, doubled in zip(asked, found, strict=True):
        assert np.array_equal(doubled, rows * 2)


def test_a_batch_has_one_shape_and_no_more_rows_than_it_may() -> None:
    network = Network()
    asked = [np.zeros((2, 2)), np.zeros((1, 3)), np.zeros((2, 2)), np.zeros((9, 3))]
    found = [call.result() for call in meanwhile(network, 4, asked)]
    assert [rows.shape for rows in found] == [(2, 2), (1, 3), (2, 2), (9, 3)]
    assert sorted(network.batches) == [1, 1, 4, 9]


def test_one_that_fails_costs_the_others_nothing() -> None:
    network = Network()
    good, bad, fine = meanwhile(network, 16, [np.ones((1, 2)), -np.ones((1, 2)), np.ones((2, 2))])
    assert good.result().tolist() == [[2, 2]] and len(fine.result()) == 2
    with pytest.raises(ValueError, match="below 0"):
        bad.result()
    assert network.batches[:2] == [1, 4] and sorted(network.batches[2:]) == [1, 1, 2]
