"""docs/websocket.md shows the clients as they are, and every close code.

`python -m tests.support.websocket_page` writes them in.
"""

import sys

from deploy.local.stack import ROOT
from shared.contracts.messages import CLOSE_CODES, CloseCode

PAGE = ROOT / "docs" / "websocket.md"
CLIENTS = {
    "python": ROOT / "docs" / "clients" / "follow_run.py",
    "javascript": ROOT / "docs" / "clients" / "follow_run.js",
    "js": ROOT / "docs" / "clients" / "stream_project.js",
}
_AGAIN = (CloseCode.RESTART, CloseCode.TIMEOUT, CloseCode.TOO_MANY)
_CODES_BEGIN, _CODES_END = "|---|---|---|\n", "\n\nCode 1009"


def page() -> str:
    """As it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(_CODES_BEGIN, 1)
    text = before + _CODES_BEGIN + _codes() + _CODES_END + rest.split(_CODES_END, 1)[1]
    for language, path in CLIENTS.items():
        before, rest = text.split(f"```{language}\n", 1)
        text = f"{before}```{language}\n{path.read_text(encoding='utf-8')}```" + rest.split("\n```", 1)[1]
    return text


def _codes() -> str:
    then = {code: "reconnect and resume" if code in _AGAIN else "change something" for code in CLOSE_CODES}
    rows = [(code.value, meaning.partition(";")[0], then[code]) for code, meaning in CLOSE_CODES.items()]
    return "\n".join(f"| {code} | {meaning} | {what} |" for code, meaning, what in rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is up to date\n")
