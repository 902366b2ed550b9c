"""What a server-sent stream is made of: blocks of lines, each as one chunk of an HTTP/1.1 body."""

import re

from pydantic import BaseModel

_LINE_END = re.compile("\r\n|\r|\n")


def chunk(text: str) -> bytes:
    body = text.encode()
    return b"%x\r\n%b\r\n" % (len(body), body)


def block(data: str, *, name: str | None = None, id_: str | None = None) -> bytes:
    """One event of the stream. Without a name a browser gives it to `onmessage`; the id is what it comes back with."""
    head = (f"event: {name}\n" if name else "") + (f"id: {id_}\n" if id_ else "")
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(data))
    return chunk(f"{head}{lines}\n")


def named_block(name: str, message: BaseModel, id_: str | None = None) -> bytes:
    return block(message.model_dump_json(), name=name, id_=id_)


def pause_block(milliseconds: int) -> bytes:
    """How long a browser waits before it connects again by itself."""
    return chunk(f"retry: {milliseconds}\n\n")


def moved_block(id_: str) -> bytes:
    """Nothing new up to here."""
    return chunk(f"id: {id_}\n\n")


COMMENT = chunk(": the server lives\n\n")
END = b"0\r\n\r\n"
