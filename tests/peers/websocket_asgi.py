"""An ASGI application that gives back what comes on its WebSockets, served by Hypercorn in TLS: HTTP/2 with extended CONNECT.

Usage: websocket_asgi.py PORT CERTIFICATE KEY
"""

import asyncio
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"HTTP/{scope['http_version']}".encode()})
        return
    headers = dict(scope["headers"])
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        text = event.get("text")
        if text == "level":
            text = headers.get(b"x-stepgate-level", b"none").decode()
        if text == "version":
            text = f"HTTP/{scope['http_version']}"
        if text == "fragments":
            text = "in three parts"
        if text == "close":
            await send({"type": "websocket.close", "code": 4321, "reason": "as asked"})
            return
        if text is None:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        else:
            await send({"type": "websocket.send", "text": text})


def main(port, certificate, key):
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.certfile, config.keyfile = certificate, key
    config.websocket_max_message_size = 64 << 20
    config.accesslog = None
    asyncio.run(serve(application, config))


main(*sys.argv[1:])
