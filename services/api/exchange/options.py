"""What a format lets a request choose, besides what all have."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from services.api.exchange.formats.base import Options
from shared.errors import Problems

Chosen = TypeVar("Chosen", bound=Options)


def chosen_options(form: type[Chosen], sent: Mapping[str, object], problems: Problems) -> Chosen | None:
    """None only beside a problem."""
    try:
        return form.model_validate(sent)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False, include_context=False):
            detail = "the format has no such option" if one["type"] == "extra_forbidden" else one["msg"]
            problems.add("/" + "/".join(map(str, one["loc"])), one["type"], detail)
        return None
