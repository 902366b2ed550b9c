"""PRELABEL_API_KEY=plk_… python follow_run.py http://localhost:8000 ws://localhost:8001/v1/ws model_run:<id>"""

import asyncio
import json
import os
import random
import sys
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

ENDED = {"completed", "completed_with_errors", "cancelled", "failed"}


def get_ticket(api):
    headers = {"Authorization": f"Bearer {os.environ['PRELABEL_API_KEY']}"}
    request = urllib.request.Request(f"{api}/v1/websocket-tickets", method="POST", headers=headers)
    return json.load(urllib.request.urlopen(request, timeout=10))["ticket"]


def moved(after, message):
    """Where to go on from, once this message has come."""
    if message["type"] == "subscribed":
        return {"epoch": message["epoch"], "offset": message["offset"]}
    return {**after, "offset": message["offset"]} if message["type"] in ("event", "position") else after


async def follow(api, url, topic):
    after, failures, code = None, 0, None
    while code not in (4400, 4403):  # another try would end in the same way
        try:
            ticket = await asyncio.to_thread(get_ticket, api)
            async with connect(url, subprotocols=["prelabel.v1"], compression=None) as socket:
                await socket.send(json.dumps({"type": "init", "ticket": ticket}))
                await socket.send(json.dumps({"type": "subscribe", "id": "1", "topic": topic, "after": after}))
                async for text in socket:
                    message, failures = json.loads(text), 0
                    if message["type"] == "ping":
                        await socket.send('{"type":"pong"}')
                        continue
                    after = moved(after, message)
                    print(json.dumps(message), flush=True)
                    shown = message["event"]["data"] if "event" in message else message.get("snapshot", {})
                    if message["type"] == "error" or shown.get("state") in ENDED:
                        return
        except (OSError, WebSocketException) as error:  # one of them is an answer that is not 2xx
            if getattr(error, "code", None) in (401, 403):
                raise
            code = getattr(getattr(error, "rcvd", None), "code", None)
        failures += 1
        await asyncio.sleep(random.uniform(0, min(4, 0.5 * 2**failures)))


asyncio.run(follow(*sys.argv[1:]))
