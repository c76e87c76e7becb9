"""Clients of what lasts: a gRPC call both ways, one that only sends, and a WebSocket, until they are ended.

    streams_client.py HOST:PORT      the token is in TOKEN; prints a JSON object a line: what ended, how, and after how long
"""

import asyncio
import json
import os
import sys
import time

import grpc
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

ADDRESS, BEARER = sys.argv[1], f"Bearer {os.environ['TOKEN']}"
BEGAN = time.monotonic()


def note(**what) -> None:
    print(json.dumps({**what, "after": time.monotonic() - BEGAN}), flush=True)


async def messages():
    while time.monotonic() - BEGAN < 20:
        yield b"x"
        await asyncio.sleep(0.1)


async def chat(channel) -> None:
    call = channel.stream_stream("/peer.Streams/Chat")(messages(), metadata=(("authorization", BEARER),))
    answers = 0
    try:
        async for _answer in call:
            answers += 1
    except grpc.aio.AioRpcError:
        pass
    note(stream="chat", answers=answers, code=(await call.code()).name, details=await call.details())


async def collect(channel) -> None:
    call = channel.stream_unary("/peer.Streams/Collect")(messages(), metadata=(("authorization", BEARER),))
    try:
        await call
    except grpc.aio.AioRpcError:
        pass
    note(stream="collect", code=(await call.code()).name)


async def websocket() -> None:
    async with connect(f"ws://{ADDRESS}/socket", additional_headers={"Authorization": BEARER}) as socket:
        echoes = 0
        try:
            while True:
                await socket.send("x")
                await socket.recv()
                echoes += 1
                await asyncio.sleep(0.1)
        except ConnectionClosed:
            pass
        note(stream="websocket", echoes=echoes, code=socket.close_code, reason=socket.close_reason)


async def main() -> None:
    async with grpc.aio.insecure_channel(ADDRESS) as channel:
        await asyncio.gather(chat(channel), collect(channel), websocket())


asyncio.run(main())
