"""Servers of what lasts: a gRPC service and a WebSocket that never end by themselves. What ended them they write down.

    streams_server.py      prints the port of each and then, a JSON object a line, how each stream ended
"""

import asyncio
import json

import grpc
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


# The library ends the requests of a call that was reset like those of one that is whole, and cancels the call a little later.
CANCELLED = 1


def note(**what) -> None:
    print(json.dumps(what), flush=True)


async def chat(requests, context: grpc.aio.ServicerContext):
    try:
        async for request in requests:
            yield b"> " + request
        await asyncio.sleep(CANCELLED)
        note(stream="chat", whole=True)
    except asyncio.CancelledError:
        note(stream="chat", whole=False)
        raise


async def collect(requests, context: grpc.aio.ServicerContext) -> bytes:
    try:
        count = 0
        async for _request in requests:
            count += 1
        await asyncio.sleep(CANCELLED)
        note(stream="collect", whole=True)
        return str(count).encode()
    except asyncio.CancelledError:
        note(stream="collect", whole=False)
        raise


async def echo(socket) -> None:
    try:
        async for message in socket:
            await socket.send(message)
    except ConnectionClosed:
        pass
    note(stream="websocket", code=socket.close_code, reason=socket.close_reason)


async def main() -> None:
    server = grpc.aio.server()
    methods = {
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer.Streams", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with serve(echo, "127.0.0.1", 0) as sockets:
        print(port, next(iter(sockets.sockets)).getsockname()[1], flush=True)
        await server.wait_for_termination()


asyncio.run(main())
