"""When a policy must stop: the rule, and how soon it notices. Pure.

The last audits, `window` of them, are looked at after each one. The policy stops as soon as the exact lower bound
(Clopper-Pearson, one-sided) of their precision falls under the target, which is when more of them are wrong than
`allowed`. Before there are so many, those to come are taken for right, so that it stops as soon as they cannot save it.

Looking after every audit makes this stop sooner and never later: a policy that still runs has passed every look, the
first full one among them, and a policy worse than its target passes that one with no more than 1 - `confidence`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from services.api.measures.bounds import allowed_wrong, at_least, least_total, lower_bound

_WINDOWS = 4


@dataclass(frozen=True)
class Guard:
    """`target` is the precision that must be kept, `confidence` how sure that must be; both between 0 and 1."""

    target: float
    confidence: float
    window: int

    @property
    def is_possible(self) -> bool:
        """Whether a window with nothing wrong in it is enough."""
        return self.window >= least_total(self.target, self.confidence)

    @cached_property
    def allowed(self) -> int:
        """The most wrong ones in a window with which the policy goes on."""
        found = allowed_wrong(self.window, self.target, self.confidence)
        return -1 if found is None else found

    def stops(self, wrong: int) -> bool:
        """`wrong` of the last `window` audits, or of all while there are fewer."""
        return wrong > self.allowed

    def bound(self, judged: int, wrong: int) -> float:
        """The lower bound of the precision of so many audits."""
        return lower_bound(judged - wrong, judged, self.confidence)

    def audits_to_stop(self, precision: float) -> int | None:
        """Within so many audits it stops, with `confidence`, once the precision has fallen to this.

        None when that may take longer than a window.
        """
        if not self._has_stopped(self.window, precision):
            return None
        few, enough = self.allowed, self.window
        while enough - few > 1:
            middle = (few + enough) // 2
            few, enough = (few, middle) if self._has_stopped(middle, precision) else (middle, enough)
        return enough

    def first_stop(self, verdicts: Sequence[bool]) -> int | None:
        """After how many of these it stops; they are in order, True for right."""
        for place in range(len(verdicts)):
            window = verdicts[max(0, place + 1 - self.window) : place + 1]
            if self.stops(window.count(False)):
                return place + 1
        return None

    def _has_stopped(self, audits: int, precision: float) -> bool:
        return at_least(self.allowed + 1, audits, 1 - precision) >= self.confidence


def usual_window(target: float, confidence: float) -> int:
    """Four times the least that can say anything: some may be wrong by chance without stopping a good policy."""
    return _WINDOWS * least_total(target, confidence)
