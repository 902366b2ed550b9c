import json

import pytest

from shared.class_names import (
    ClassNamesUnreadable,
    Names,
    names_of_config,
    names_of_labels_file,
    names_of_metadata,
)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"\xef\xbb\xbfcat\r\ntraffic light\r\n\r\n", ("cat", "traffic light")),
        ("grüner Baum".encode(), ("grüner Baum",)),
    ],
)
def test_labels_files(content: bytes, names: Names) -> None:
    assert names_of_labels_file(content) == names


@pytest.mark.parametrize(("content", "words"), [(b"cat\n\ndog", "line 2"), (b"\xff\xfe", "UTF-8"), (b"", "line 1")])
def test_labels_files_that_cannot_be_read(content: bytes, words: str) -> None:
    with pytest.raises(ClassNamesUnreadable, match=words):
        names_of_labels_file(content)


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({"names": "{0: 'person', 1: \"driver's cab\"}"}, ("person", "driver's cab")),
        ({"names": '{"0": "a", "1": "b"}'}, ("a", "b")),
        ({"names": "['a', 'b']"}, ("a", "b")),
        ({"classes": "a, b"}, ("a", "b")),
        ({"labels": "a\nb\n"}, ("a", "b")),
        ({"character": "a\n,\n \n"}, ("a", ",", " ")),
        ({"names": "['first']", "classes": "second"}, ("first",)),
        ({"author": "somebody"}, None),
        ({"names": ""}, None),
    ],
)
def test_metadata(properties: dict[str, str], names: Names | None) -> None:
    assert names_of_metadata(properties) == names


@pytest.mark.parametrize(
    "text", ["{0: 'a', 2: 'b'}", "[1, 2]", "{0: __import__('os')}", "[" * 5000, "{1: 'a', 2: 'b'}", "{'a', 'b'}"]
)
def test_metadata_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ClassNamesUnreadable):
        names_of_metadata({"names": text})


def test_id2label_goes_by_number() -> None:
    numbered = {str(number): f"label {number}" for number in reversed(range(12))}
    config = json.dumps({"id2label": numbered, "architectures": []}).encode()
    assert names_of_config(config) == tuple(f"label {number}" for number in range(12))
    assert names_of_config(b"{}") is None


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"id2label": {"1": "a"}}', b'{"id2label": {"0": 1}}'])
def test_configs_that_cannot_be_read(content: bytes) -> None:
    with pytest.raises(ClassNamesUnreadable):
        names_of_config(content)
