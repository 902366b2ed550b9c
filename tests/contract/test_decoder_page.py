"""docs/decoders.md says what the classes say."""

import pytest

from services.inference.decoders import DECODERS
from services.inference.inputs import PREPROCESSORS
from tests.support.decoder_page import PAGE, page


def test_the_page_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.support.decoder_page`"


def test_every_parameter_says_what_it_is() -> None:
    assert not [line for line in page().splitlines() if line.startswith("| `") and line.endswith("|  |")]


@pytest.mark.parametrize("name", [*DECODERS, *PREPROCESSORS])
def test_everything_has_its_section(name: str) -> None:
    assert f"\n### `{name}`\n" in page()
