"""Calls that arrive while a batch runs form the next batch, and each gets its own rows."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from video_star.tools.vision.batching import Batcher


class Network:
    """Doubles its rows; the first batch blocks until `go` is set, and rows below 0 raise."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.batches.append(len(rows))
        self.started.set()
        assert self.go.wait(30)
        if (rows < 0).any():
            raise ValueError("below 0")
        return rows * 2


def concurrent(network: Network, max_rows: int, requests: list[np.ndarray]) -> list[Future[np.ndarray]]:
    """Submit one row, and all requests while it is running."""
    batcher = Batcher(network, max_rows)
    with ThreadPoolExecutor(len(requests) + 1) as pool:
        first = pool.submit(batcher, np.ones((1, 2)))
        assert network.started.wait(30)
        calls = [pool.submit(batcher, rows) for rows in requests]
        while len(batcher._waiting) < len(requests):
            pass
        network.go.set()
    assert first.result().tolist() == [[2, 2]]
    return calls


def test_concurrent_calls_share_a_batch_and_get_their_own_rows() -> None:
    network = Network()
    requests = [np.full((count, 2), float(count)) for count in (1, 2, 3)]
    found = [call.result() for call in concurrent(network, 16, requests)]
    assert network.batches == [1, 6]
    for rows, doubled in zip(requests, found, strict=True):
        assert np.array_equal(doubled, rows * 2)


def test_a_batch_has_one_shape_and_a_limited_number_of_rows() -> None:
    network = Network()
    requests = [np.zeros((2, 2)), np.zeros((1, 3)), np.zeros((2, 2)), np.zeros((9, 3))]
    found = [call.result() for call in concurrent(network, 4, requests)]
    assert [rows.shape for rows in found] == [(2, 2), (1, 3), (2, 2), (9, 3)]
    assert sorted(network.batches) == [1, 1, 4, 9]


def test_a_failing_call_does_not_fail_the_others() -> None:
    network = Network()
    good, bad, fine = concurrent(network, 16, [np.ones((1, 2)), -np.ones((1, 2)), np.ones((2, 2))])
    assert good.result().tolist() == [[2, 2]] and len(fine.result()) == 2
    with pytest.raises(ValueError, match="below 0"):
        bad.result()
    assert network.batches[:2] == [1, 4] and sorted(network.batches[2:]) == [1, 1, 2]
