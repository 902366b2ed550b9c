"""The names of a model's classes as the files of others carry them. Pure; what cannot be read raises.

Looked for in this order: the card, labels.txt, the metadata of the ONNX file, `id2label` of a Hugging Face config.json.
"""

import ast
import json
from collections.abc import Mapping
from typing import Any

METADATA_KEYS = ("names", "classes", "labels", "character")
"""Of an ONNX file: `names` as Ultralytics writes it, `character` as PaddleOCR does."""

Names = tuple[str, ...]


class ClassNamesUnreadable(ValueError):
    """The text is meant for people."""


def names_of_labels_file(content: bytes) -> Names:
    """One name a line, in the order of the model's outputs."""
    try:
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ClassNamesUnreadable("labels.txt is not UTF-8") from error
    names = tuple(line.strip() for line in lines)
    if not all(names):
        raise ClassNamesUnreadable(f"line {names.index('') + 1} of labels.txt is empty")
    return names


def names_of_config(content: bytes) -> Names | None:
    """`id2label` of a config.json; None when it has none."""
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ClassNamesUnreadable("config.json is not JSON") from error
    if not isinstance(config, dict):
        raise ClassNamesUnreadable("config.json is no JSON object")
    found = config.get("id2label")
    return None if found is None else _numbered(found, "id2label of config.json")


def names_of_metadata(properties: Mapping[str, str]) -> Names | None:
    """Of the first key that is there; None when there is none."""
    for key in METADATA_KEYS:
        if properties.get(key):
            return _of_text(properties[key], key)
    return None


def _of_text(text: str, key: str) -> Names:
    if key == "character":
        return tuple(text.rstrip("\n").split("\n"))
    where = f"{key!r} in the file's metadata"
    if text.lstrip()[:1] in ("{", "["):
        return _numbered(_literal(text, where), where)
    separator = "\n" if "\n" in text else ","
    return tuple(part.strip() for part in text.strip().split(separator))


def _literal(text: str, where: str) -> Any:
    """JSON, or what Python prints."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ClassNamesUnreadable(f"{where} is neither JSON nor a Python literal") from error


def _numbered(found: Any, where: str) -> Names:
    """A list, or a map of the numbers 0, 1, 2 … to names."""
    if isinstance(found, dict):
        by_number = {str(number): name for number, name in found.items()}
        if set(by_number) != {str(number) for number in range(len(by_number))}:
            raise ClassNamesUnreadable(f"{where} does not number its names 0, 1, 2 …")
        found = [by_number[str(number)] for number in range(len(by_number))]
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ClassNamesUnreadable(f"{where} is no list of names")
    return tuple(found)
