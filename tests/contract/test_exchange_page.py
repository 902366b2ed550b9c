"""docs/exchange.md says what the formats say."""

import pytest

from services.api.exchange.formats import FORMATS
from tests.support.exchange_page import PAGE, page


def test_the_page_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.support.exchange_page`"


@pytest.mark.parametrize("name", FORMATS)
def test_every_loss_is_explained(name: str) -> None:
    one = FORMATS[name]
    assert {code for codes in one.holds.values() for code in codes} <= set(one.losses)
    assert all(f"| `{code}` | {sentence} |" in page() for code, sentence in one.losses.items())


@pytest.mark.parametrize("name", FORMATS)
def test_every_option_says_what_it_does(name: str) -> None:
    for options in (FORMATS[name].export_options, FORMATS[name].import_options):
        assert all(field.description for field in options.model_fields.values())
