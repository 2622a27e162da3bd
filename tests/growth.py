"""How processor time grows with the size of the input. Unlike wall-clock time, it hardly depends on other load."""

import time
from collections.abc import Callable

NEGLIGIBLE = 0.01


def growth(work: Callable[[int], object], size: int) -> float:
    """The processor time of `work(2 * size)` divided by that of `work(size)`, each the least of three.

    It is about 1 for constant, 2 for linear and 4 for quadratic work. Times below 10 ms count as 10 ms: choose `size`
    such that quadratic work would take much longer.
    """
    least = dict.fromkeys((size, 2 * size), float("inf"))
    for _ in range(3):
        for given in least:
            began = time.process_time()
            work(given)
            least[given] = min(least[given], time.process_time() - began)
    return max(least[2 * size], NEGLIGIBLE) / max(least[size], NEGLIGIBLE)
