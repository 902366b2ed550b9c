"""How many of each stratum a sample takes. Pure."""

import heapq
from collections.abc import Mapping


def allocate(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """In proportion to the counts, at least one of each and never more than there are; the sum is `size` if it can be.

    Needs `len(counts) <= size`. Each further place goes where a data row stands for the most others (Sainte-Laguë).
    """
    quotas = dict.fromkeys(counts, 1)
    waiting = [(-count / 3, stratum) for stratum, count in counts.items() if count > 1]
    heapq.heapify(waiting)
    for _ in range(size - len(counts)):
        if not waiting:
            break
        _, stratum = heapq.heappop(waiting)
        quotas[stratum] += 1
        if quotas[stratum] < counts[stratum]:
            heapq.heappush(waiting, (-counts[stratum] / (2 * quotas[stratum] + 1), stratum))
    return quotas
