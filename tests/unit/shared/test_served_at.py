"""Where models of others are, as it is written down."""

import pytest

from shared.served_at import Pin, ServedAt


@pytest.mark.parametrize(
    "written",
    [
        ServedAt(address="triton.example.org:8001", model="helmets").model_dump_json(),
        Pin(metadata="0" * 64, answer={"scores": (1.0,)}).model_dump_json(),
    ],
)
def test_the_release_before_finds_no_field_that_it_does_not_know(written: str) -> None:
    assert "label_config" not in written
    assert 'version":null' not in written


def test_what_a_backend_says_of_itself_comes_back() -> None:
    where = ServedAt(address="https://ml.example.org", model="helmets", label_config="<View/>")
    assert ServedAt.model_validate_json(where.model_dump_json()) == where
    pin = Pin(metadata="0" * 64, answer={}, version="v1")
    assert Pin.model_validate(pin.model_dump(mode="json")) == pin
