"""Room for exports."""

from dataclasses import dataclass

from shared.errors import TooManyRequests


@dataclass(slots=True)
class Places:
    """How many exports this process gives at once: each holds a connection to the database while it lasts."""

    most: int
    taken: int = 0

    def take(self) -> None:
        """Raises TooManyRequests."""
        if self.taken >= self.most:
            raise TooManyRequests(
                f"{self.most} exports are being read already; try again", headers={"Retry-After": "5"}
            )
        self.taken += 1

    def free(self) -> None:
        self.taken -= 1
