"""A problem whose answer is made beforehand, all but the id of the request: for where an answer must cost little."""

from uuid import uuid4

import orjson
from starlette.types import Send

from shared.contracts.http import problem_of
from shared.errors import PrelabelError
from shared.http_problems import MEDIA_TYPE

_NO_ID = "0" * 32


class ReadyProblem:
    def __init__(self, error: PrelabelError, retry_after_seconds: int) -> None:
        content = orjson.dumps(problem_of(error, _NO_ID))
        self.code = error.code
        self._status = error.status
        self._before, self._after = content.split(_NO_ID.encode())
        self._headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(content)),
            (b"retry-after", b"%d" % retry_after_seconds),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def answer(self, send: Send) -> None:
        request_id = uuid4().hex.encode()
        headers = [*self._headers, (b"x-request-id", request_id)]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._before + request_id + self._after})
