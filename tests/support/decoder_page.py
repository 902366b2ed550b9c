"""The page that lists every preprocessor and decoder with its parameters, made from their classes.

`python -m tests.support.decoder_page` writes it.
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from services.inference.decoders import DECODERS
from shared.preprocessing import Pixels, Preprocessing

PAGE = Path(__file__).resolve().parents[2] / "docs" / "decoders.md"

_HEAD = """# Preprocessors and decoders

Made from the code by `python -m tests.support.decoder_page`.

A model card names one preprocessor, which makes a model's inputs of a data row, and one decoder, which makes detections
of its outputs. With these a model needs no code of its own. The outputs' first axis is the batch; the shapes below are
those of one row. N are candidates, Q queries, C classes, K points, coefficients or planes, T tokens, L labels.

What every decoder keeps to:

- Boxes, masks and points are in pixels of the image as it is seen (EXIF orientation applied), spans in Unicode code
  points of the text.
- Nothing under the card's `floor`, the surest first, at most `max_detections` (a classifier: `top_k`).
- Outputs of another shape than said here, class numbers or scores out of their range, NaN and infinity fail the data
  row with `bad_model_output`; they are never guessed at.

A card's part looks like this:

```json
"preprocessing": {"kind": "letterbox", "width": 640, "height": 640, "fill": 114,
                  "pixels": {"datatype": "FP32", "layout": "nchw", "scale": 0.00392156862745098}},
"decoder": {"name": "yolo", "parameters": {"layout": "v8", "nms_iou": 0.7}}
```
"""


def page() -> str:
    preprocessors = get_args(get_args(Preprocessing)[0])
    parts = [_HEAD, "## Preprocessors\n"]
    parts += [_section(f"`{one.model_fields['kind'].default}`", _prose(one), one) for one in preprocessors]
    parts.append(_section("`pixels` of the preprocessors of images", _prose(Pixels), Pixels))
    parts.append("## Decoders\n")
    for name, decoder in sorted(DECODERS.items()):
        module = inspect.getmodule(decoder.decode)
        prose = "\n\n".join(filter(None, [inspect.getdoc(module), _prose(decoder.parameters)]))
        parts.append(_section(f"`{name}`", prose, decoder.parameters))
    return "\n".join(parts)


def write() -> None:
    PAGE.write_text(page())


def _prose(of: type[BaseModel]) -> str:
    """Its own docstring, not one it inherits."""
    return inspect.cleandoc(of.__doc__) if "__doc__" in vars(of) and of.__doc__ else ""


def _section(title: str, prose: str, parameters: type[BaseModel]) -> str:
    schema = parameters.model_json_schema()
    lines = [f"### {title}\n", f"{prose}\n"]
    fields = {name: field for name, field in parameters.model_fields.items() if name != "kind"}
    if fields:
        lines += ["| parameter | value | default | what it is |", "|---|---|---|---|"]
    for name, field in fields.items():
        value = _value(schema["properties"][name], schema)
        lines.append(f"| `{name}` | {value} | {_default(field)} | {_cell(field.description or '')} |")
    return "\n".join([*lines, ""])


def _value(schema: dict[str, Any], root: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_value(one, root) for one in schema["anyOf"])
    if "oneOf" in schema:
        return "parameters"
    if "$ref" in schema:
        return _value(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        items = schema.get("items") or schema["prefixItems"][0]
        return f"list of {_value(items, root)}"
    plain = {"integer": "whole number", "boolean": "true, false", "string": "text", "object": "object"}
    return plain.get(schema["type"], "number") + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    given = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    return f" {' '.join(given)}" if given else ""


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        kind = {"kind": default.model_dump()["kind"]} if "kind" in type(default).model_fields else {}
        return f"`{json.dumps(kind | default.model_dump(mode='json', exclude_defaults=True))}`"
    if default is None:
        return "null"
    if isinstance(default, tuple):
        return ", ".join(f"`{one}`" for one in default) or "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    write()
    sys.stdout.write(f"{PAGE.name} is up to date\n")
