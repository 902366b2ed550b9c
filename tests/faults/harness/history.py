"""What clients were told, in the order they were told it. One JSON object a line, so that a failing round can be read.

    {"at": 1764028800.1, "kind": "http", "method": "POST", "path": "/v1/…", "status": 202, "body": {…}, "sent": {…}}
    {"at": …, "kind": "lost", "method": "POST", "path": "/v1/…", "why": "ReadError"}        no answer came
    {"at": …, "kind": "frame", "subscriber": "a", "topic": "project:…", "connection": 1, "after": 12, "message": {…}}
    {"at": …, "kind": "fault", "what": "kill inference"}

`after` is the offset a connection asked to resume from, null for a first one.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class History:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1)

    def note(self, kind: str, **told: Any) -> None:
        entry: Entry = {"at": time.time(), "kind": kind, **told}
        self.entries.append(entry)
        self._file.write(json.dumps(entry, default=str) + "\n")

    def fault(self, what: str) -> None:
        self.note("fault", what=what)

    def answers(self, method: str, ending: str) -> Iterator[Entry]:
        """Those with a 2xx to requests whose path ends so."""
        for entry in self.entries:
            if entry["kind"] == "http" and entry["method"] == method and entry["status"] // 100 == 2:
                path: str = entry["path"]
                if path.endswith(ending):
                    yield entry

    def frames(self) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry["kind"] == "frame")

    def close(self) -> None:
        self._file.close()
