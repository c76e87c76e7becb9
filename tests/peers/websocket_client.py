"""A WebSocket client that tries whatever WebSocket has, against websocket_server.py behind something.

Usage: websocket_client.py HOST PORT AUTHORIZATION [CA]
"""

import asyncio
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

LARGE = 16 << 20


async def talk(connection, size):
    await connection.send("level")
    assert await connection.recv() == "single-factor"
    for message in ["text, größer", b"\x00\xffbinary", "", b""]:
        await connection.send(message)
        assert await connection.recv() == message
    await connection.send(["sent ", "in ", "parts"])
    assert await connection.recv() == "sent in parts"
    await connection.send("fragments")
    # The library ends a message with a fragment that is empty.
    assert [part async for part in connection.recv_streaming() if part] == ["in ", "three ", "parts"]
    await (await connection.ping(b"are you there?"))
    await connection.send("ping")
    assert await connection.recv() == "ponged"
    for large in [os.urandom(size), b"a" * size]:
        await connection.send(large)
        assert await connection.recv() == large
    # Both at once, so that each waits for the other.
    pieces = [os.urandom(100_000) for _ in range(30)]

    async def send():
        for piece in pieces:
            await connection.send(piece)

    sending = asyncio.create_task(send())
    for piece in pieces:
        assert await connection.recv() == piece
    await sending


async def main(host, port, authorization, ca=None):
    tls = ssl.create_default_context(cafile=ca) if ca else None
    uri = f"{'wss' if ca else 'ws'}://{host}:{port}/any/chat"

    def begin(compression):
        headers = {"Authorization": authorization}
        return connect(
            uri, host="127.0.0.1", port=int(port), ssl=tls, compression=compression, additional_headers=headers,
            max_size=None, ping_interval=None,
        )  # fmt: skip

    for compression in [None, "deflate"]:
        async with begin(compression) as connection:
            names = [extension.name for extension in connection.protocol.extensions]
            assert names == (["permessage-deflate"] if compression else []), names
            await talk(connection, LARGE if not compression else LARGE >> 4)
            await connection.close(4242, "that is all")
        assert (connection.close_code, connection.close_reason) == (4242, "that is all")
    async with begin(None) as connection:
        await connection.send("close")
        try:
            await connection.recv()
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4321, "as asked")
    print("all of it")


asyncio.run(main(*sys.argv[1:]))
