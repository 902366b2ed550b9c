"""The main job on real input, through the public HTTP and websocket interfaces only. `make demo` runs it."""

import asyncio
import time
from pathlib import Path

import httpx2
from websockets.exceptions import WebSocketException

from deploy.local.control import StackProcess
from deploy.local.demo import images, show, story
from deploy.local.demo.client import Gateway, Refused
from deploy.local.stack import ROOT

_PHOTOGRAPHS, _TEXTS, _TARGET = (ROOT / "var" / name for name in ("pictures", "texts", "demo"))


def run(stack: StackProcess) -> int:
    """0 when the main job was done, 1 when not. The stack runs already."""
    began = time.monotonic()
    try:
        asyncio.run(_tell(stack))
    except (Refused, images.Unexpected) as error:
        show.step(f"It did not work: {error}")
        return 1
    except (httpx2.TransportError, WebSocketException, OSError) as error:
        show.step(f"The stack went away meanwhile ({type(error).__name__}); {stack.log_folder} has its logs.")
        return 1
    show.step(f"Done in {time.monotonic() - began:.0f} s.")
    show.console.print(f"Look at the pictures in {_relative(_TARGET)}/.")
    show.console.print(
        f"`make up` leaves the stack running; its documentation is then at {stack.addresses.api_url}/docs."
    )
    return 0


async def _tell(stack: StackProcess) -> None:
    gateway = Gateway(stack.addresses.api_url, stack.api_key)
    try:
        await story.tell(story.Setting(gateway, stack.addresses.notifier_url, _PHOTOGRAPHS, _TEXTS, _TARGET))
    finally:
        await gateway.close()


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
