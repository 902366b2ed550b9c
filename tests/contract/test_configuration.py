"""The README and docs/operations say what the settings classes say."""

from tests.support.configuration import PAGE, in_readme, page, table


def test_configuration_table_is_that_of_the_code() -> None:
    assert in_readme() == table(), "run `python -m tests.support.configuration`"
    assert PAGE.read_text() == page(), "run `python -m tests.support.configuration`"


def test_every_variable_says_what_it_is() -> None:
    assert "| None |" not in table()
