"""A gRPC server of Google's own library, without generated code: messages are bytes.

    grpc_server.py [CERT KEY]     prints the port on which it listens, and serves until it is ended
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

NOTES: list[dict] = []


def note(context: grpc.ServicerContext, **more) -> None:
    """Keeps what a call brought, for the client to ask for."""
    fields = {}
    for name, value in context.invocation_metadata():
        fields.setdefault(name, []).append(value.hex() if isinstance(value, bytes) else value)
    NOTES.append({"metadata": fields, **more})


def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    note(context, method="Unary")
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-back-bin", sent.get("x-blob-bin", b"")),))
    context.set_trailing_metadata((("x-length", str(len(request))), ("x-end-bin", b"\x00\xff\xfe")))
    return request


def collect(requests, context: grpc.ServicerContext) -> bytes:
    note(context, method="Collect")
    return json.dumps([len(request) for request in requests]).encode()


def count(request: bytes, context: grpc.ServicerContext):
    note(context, method="Count")
    for number in range(int(request)):
        yield str(number).encode()
    context.set_trailing_metadata((("x-counted", request.decode()),))


def chat(requests, context: grpc.ServicerContext):
    note(context, method="Chat")
    for request in requests:
        yield b"> " + request


def fail(_request: bytes, context: grpc.ServicerContext) -> bytes:
    context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x05\x12\x04gone"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100% zoë")


def noted(context: grpc.ServicerContext, method: str) -> threading.Event:
    """Notes the end of the call when it comes, and sets what it returns."""
    ended = threading.Event()
    begun = time.monotonic()
    left = context.time_remaining()

    def over() -> None:
        NOTES.append({"ended": method, "left": left, "after": time.monotonic() - begun})
        ended.set()

    if not context.add_callback(over):
        over()
    return ended


def slow(_request: bytes, context: grpc.ServicerContext) -> bytes:
    noted(context, "Slow").wait(30)
    return b"late"


def drip(_request: bytes, context: grpc.ServicerContext):
    # Before the first message: a client may have it and be gone before this goes on.
    ended = noted(context, "Drip")
    yield b"first"
    ended.wait(30)


def notes(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    return json.dumps(NOTES).encode()


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Pay": grpc.unary_unary_rpc_method_handler(unary),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "PayChat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Drip": grpc.unary_stream_rpc_method_handler(drip),
    "Notes": grpc.unary_unary_rpc_method_handler(notes),
}

LARGE = 32 << 20


def main() -> None:
    options = [("grpc.max_receive_message_length", LARGE), ("grpc.max_send_message_length", LARGE)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer.Peer", METHODS),))
    if len(sys.argv) > 2:
        cert, key = (open(path, "rb").read() for path in sys.argv[1:3])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


main()
