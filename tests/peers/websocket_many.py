"""So many WebSockets at once. Says "open" when all of them are, and with a line on its standard input says something on each and
hears it back; then closes them, or is told how each was closed.

Usage: websocket_many.py PORT COUNT talk | end
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(port, count, what):
    uri = f"ws://127.0.0.1:{port}/public/chat"
    connections = []
    for _ in range(int(count)):
        connections.append(await connect(uri, compression=None, ping_interval=None))
    print("open", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if what == "talk":
        await asyncio.gather(*(connection.send(str(number)) for number, connection in enumerate(connections)))
        for number, connection in enumerate(connections):
            assert await connection.recv() == str(number)
        await asyncio.gather(*(connection.close() for connection in connections))
        print("heard", flush=True)
        return
    for connection in connections:
        try:
            await connection.recv()
        except ConnectionClosed as closed:
            print(closed.rcvd.code if closed.rcvd else 1006, flush=True)


asyncio.run(main(*sys.argv[1:]))
