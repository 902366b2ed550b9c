"""Readiness over HTTP."""

import asyncio
import json
import urllib.request
from typing import Any

from deploy.local.service import Probe

# Everything here is on this machine, whatever proxy the environment names.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers_ok(*urls: str) -> Probe:
    """All of them answer 200."""

    async def ready() -> bool:
        for url in urls:
            await asyncio.to_thread(_fetch, url)
        return True

    return ready


def fetch_json(url: str, *, method: str = "GET") -> Any:
    return json.loads(_fetch(url, method))


def _fetch(url: str, method: str = "GET") -> bytes:
    """Raises for anything but success."""
    with _direct.open(urllib.request.Request(url, method=method), timeout=3) as answer:
        content: bytes = answer.read()
        return content
