"""A WebSocket server: gives back what it gets, and does what a text asks it for. Prints its port once it listens.

Usage: websocket_server.py [CERTIFICATE KEY]
"""

import asyncio
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def answer(connection, message):
    if message == "level":
        await connection.send(connection.request.headers.get("X-Stepgate-Level", "none"))
    elif message == "fragments":
        await connection.send(["in ", "three ", "parts"])
    elif message == "ping":
        await (await connection.ping())
        await connection.send("ponged")
    elif message == "close":
        await connection.close(4321, "as asked")
    else:
        await connection.send(message)


async def handle(connection):
    try:
        while True:
            await answer(connection, await connection.recv())
    except ConnectionClosed:
        print(f"closed {connection.close_code} {connection.close_reason}", flush=True)


async def main(certificate=None, key=None):
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
    async with serve(handle, "127.0.0.1", 0, ssl=tls, max_size=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
