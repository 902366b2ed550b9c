"""Why a model cannot be registered, in words; it becomes the entry's reason and the operation's problem."""

from collections.abc import Sequence

from shared.errors import FieldError, Unprocessable

_SAID_AT_ONCE = 5


class ModelRefused(Unprocessable):
    code = "model_refused"
    title = "The model cannot be used as its card says"

    @classmethod
    def because(cls, errors: Sequence[FieldError]) -> "ModelRefused":
        """Pointers lead into the card."""
        details = [error.detail for error in errors[:_SAID_AT_ONCE]]
        if len(errors) > _SAID_AT_ONCE:
            details.append(f"and {len(errors) - _SAID_AT_ONCE} more")
        return cls("; ".join(details), errors=errors)
