"""How the cost of work grows with its input, in processor time, which other load on the machine does not change."""

import time
from collections.abc import Callable

NEGLIGIBLE = 0.01


def growth(work: Callable[[int], object], size: int) -> float:
    """Processor time at twice `size` divided by the time at `size`, each the least of three.

    About 1 for constant work, 2 for linear and 4 for quadratic work. Times under 10 ms count as 10 ms: choose `size`
    so that work of the wrong order takes far longer.
    """
    least = dict.fromkeys((size, 2 * size), float("inf"))
    for _ in range(3):
        for given in least:
            began = time.process_time()
            work(given)
            least[given] = min(least[given], time.process_time() - began)
    return max(least[2 * size], NEGLIGIBLE) / max(least[size], NEGLIGIBLE)
