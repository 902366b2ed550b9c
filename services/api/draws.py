"""Drawing by a secret: nobody guesses who is drawn, and the same are drawn again."""

import hashlib
import secrets
from uuid import UUID

SEED_BYTES = 32
_TAKEN_BYTES = 6


def new_seed() -> bytes:
    return secrets.token_bytes(SEED_BYTES)


def is_drawn(seed: bytes, row_id: UUID, share: float) -> bool:
    """The same as `shared.database.withholding.DRAWN`."""
    taken = hashlib.sha256(seed + row_id.bytes).digest()[:_TAKEN_BYTES]
    return int.from_bytes(taken, "big") < share * float(1 << 8 * _TAKEN_BYTES)
