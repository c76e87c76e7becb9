"""Clients of what lasts: a gRPC call both ways, one that only sends, and a WebSocket, until they are ended.

    streams_client.py HOST:PORT      the token is in TOKEN; prints a JSON object a line: what ended, how, and after how long

The gRPC is the one with threads: that of asyncio may take a message that it cannot send any more for the end of the call, and
tell of an internal error in the place of its status.
"""

import json
import os
import sys
import threading
import time

import grpc
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ADDRESS, BEARER = sys.argv[1], f"Bearer {os.environ['TOKEN']}"
BEGAN = time.monotonic()
ONE_AT_A_TIME = threading.Lock()


def note(**what) -> None:
    # `print` writes a line and its end apart, so that another thread's may come between.
    with ONE_AT_A_TIME:
        print(json.dumps({**what, "after": time.monotonic() - BEGAN}), flush=True)


def messages():
    while time.monotonic() - BEGAN < 30:
        yield b"x"
        time.sleep(0.1)


def chat(channel) -> None:
    call = channel.stream_stream("/peer.Streams/Chat")(messages(), metadata=(("authorization", BEARER),))
    answers = 0
    try:
        for _answer in call:
            answers += 1
    except grpc.RpcError:
        pass
    note(stream="chat", answers=answers, code=call.code().name, details=call.details())


def collect(channel) -> None:
    try:
        channel.stream_unary("/peer.Streams/Collect")(messages(), metadata=(("authorization", BEARER),))
        note(stream="collect", code="OK")
    except grpc.RpcError as error:
        note(stream="collect", code=error.code().name)


def websocket() -> None:
    with connect(f"ws://{ADDRESS}/socket", additional_headers={"Authorization": BEARER}) as socket:
        echoes = 0
        try:
            while True:
                socket.send("x")
                socket.recv()
                echoes += 1
                time.sleep(0.1)
        except ConnectionClosed as closed:
            note(stream="websocket", echoes=echoes, code=closed.rcvd.code, reason=closed.rcvd.reason)


def main() -> None:
    with grpc.insecure_channel(ADDRESS) as channel:
        clients = [threading.Thread(target=chat, args=(channel,)), threading.Thread(target=collect, args=(channel,))]
        clients.append(threading.Thread(target=websocket))
        for client in clients:
            client.start()
        for client in clients:
            client.join()


main()
