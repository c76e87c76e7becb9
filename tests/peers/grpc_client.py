"""A gRPC client of Google's own library, which calls through the gate and says what it found wrong.

    grpc_client.py ADDRESS [CA]     the tokens are in WEAK and STRONG; exit code 0 and the names of all that held
"""

import json
import os
import queue
import sys
import time

import grpc

LARGE = 32 << 20
WEAK, STRONG = (("authorization", f"Bearer {os.environ[name]}") for name in ("WEAK", "STRONG"))
REFUSED = grpc.StatusCode.UNAUTHENTICATED
HELD = []


def held(function):
    HELD.append(function)
    return function


def metadata(pairs) -> dict:
    return {name: value for name, value in pairs or ()}


def fails(call) -> grpc.RpcError:
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it did not fail")


def same(found, wanted) -> None:
    assert found == wanted, f"{found!r} is not {wanted!r}"


class Peer:
    """The service, through one channel."""

    def __init__(self, channel: grpc.Channel, service: str = "peer.Peer") -> None:
        self.channel, self.service = channel, service

    def unary(self, name):
        return self.channel.unary_unary(f"/{self.service}/{name}")

    def notes(self) -> list[dict]:
        return json.loads(self.unary("Notes")(b"", metadata=(STRONG,), timeout=10))


@held
def unary_with_metadata_both_ways(peer: Peer) -> None:
    blob = bytes(range(256))
    response, call = peer.unary("Unary").with_call(b"hello", metadata=(WEAK, ("x-blob-bin", blob), ("x-text", "a b")), timeout=10)
    same(response, b"hello")
    same(metadata(call.initial_metadata())["x-back-bin"], blob)
    trailing = metadata(call.trailing_metadata())
    same((trailing["x-length"], trailing["x-end-bin"]), ("5", b"\x00\xff\xfe"))
    seen = [note for note in peer.notes() if note.get("method") == "Unary"][-1]["metadata"]
    same(seen["x-text"], ["a b"])
    same(seen["x-stepgate-level"], ["single-factor"])


@held
def client_streaming(peer: Peer) -> None:
    sizes = [(size * 37) % 5000 for size in range(100)]
    collect = peer.channel.stream_unary("/peer.Peer/Collect")
    same(json.loads(collect((b"x" * size for size in sizes), metadata=(WEAK,), timeout=20)), sizes)


@held
def server_streaming(peer: Peer) -> None:
    call = peer.channel.unary_stream("/peer.Peer/Count")(b"500", metadata=(WEAK,), timeout=20)
    same([int(message) for message in call], list(range(500)))
    same(metadata(call.trailing_metadata())["x-counted"], "500")


@held
def both_ways_at_once(peer: Peer) -> None:
    outbox = queue.Queue()
    call = peer.channel.stream_stream("/peer.Peer/Chat")(iter(outbox.get, None), metadata=(WEAK,), timeout=20)
    for number in range(50):
        # The next one is not sent before the answer to this one is there.
        outbox.put(f"{number}".encode())
        same(next(call), f"> {number}".encode())
    outbox.put(None)
    same(list(call), [])
    same(call.code(), grpc.StatusCode.OK)


@held
def large_messages(peer: Peer) -> None:
    large = os.urandom(1 << 20) * 8
    same(peer.unary("Unary")(large, metadata=(WEAK,), timeout=30), large)


@held
def a_failure_with_its_details(peer: Peer) -> None:
    error = fails(lambda: peer.unary("Fail")(b"", metadata=(WEAK,), timeout=10))
    same((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "no such thing: 100% zoë"))
    same(metadata(error.trailing_metadata())["grpc-status-details-bin"], b"\x08\x05\x12\x04gone")


def ended(peer: Peer, method: str, before: int) -> dict:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        found = [note for note in peer.notes()[before:] if note.get("ended") == method]
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"the server was not told that {method} ended")


@held
def a_deadline_that_both_sides_keep(peer: Peer) -> None:
    before = len(peer.notes())
    error = fails(lambda: peer.unary("Slow")(b"", metadata=(WEAK,), timeout=1))
    same(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    note = ended(peer, "Slow", before)
    assert note["left"] < 2, note
    assert note["after"] < 5, note


@held
def a_call_that_is_cancelled_on_both_sides(peer: Peer) -> None:
    before = len(peer.notes())
    call = peer.channel.unary_stream("/peer.Peer/Drip")(b"", metadata=(WEAK,))
    same(next(call), b"first")
    call.cancel()
    assert ended(peer, "Drip", before)["after"] < 5


@held
def no_token_and_one_that_is_not_believed(peer: Peer) -> None:
    error = fails(lambda: peer.unary("Unary")(b"", timeout=10))
    same(error.code(), REFUSED)
    assert error.details().startswith("token_missing: "), error.details()
    challenge = metadata(error.trailing_metadata())["www-authenticate"]
    assert challenge.startswith("Bearer realm=") and "error=" not in challenge, challenge
    error = fails(lambda: peer.unary("Unary")(b"", metadata=(("authorization", "Bearer junk"),), timeout=10))
    same((error.code(), error.details()), (REFUSED, "invalid_token"))
    assert 'error="invalid_token"' in metadata(error.trailing_metadata())["www-authenticate"]


@held
def a_step_up_and_then_the_call(peer: Peer) -> None:
    error = fails(lambda: peer.unary("Pay")(b"1", metadata=(WEAK,), timeout=10))
    same((error.code(), error.details()), (REFUSED, "insufficient_user_authentication"))
    trailing = metadata(error.trailing_metadata())
    assert 'error="insufficient_user_authentication", max_age="300"' in trailing["www-authenticate"], trailing
    assert trailing["x-request-id"], trailing
    same(peer.unary("Pay")(b"1", metadata=(STRONG,), timeout=10), b"1")


@held
def a_stream_that_is_refused_while_it_sends(peer: Peer) -> None:
    def endless():
        while True:
            yield b"x" * 10_000

    chat = peer.channel.stream_stream("/peer.Peer/PayChat")
    for _ in range(5):
        error = fails(lambda: list(chat(endless(), metadata=(WEAK,), timeout=10)))
        same(error.code(), REFUSED)
        assert "insufficient_user_authentication" in metadata(error.trailing_metadata())["www-authenticate"]
    same(list(chat(iter([b"a", b"b"]), metadata=(STRONG,), timeout=10)), [b"> a", b"> b"])


@held
def what_no_route_names(peer: Peer) -> None:
    other = Peer(peer.channel, "peer.Other")
    error = fails(lambda: other.unary("Unary")(b"", metadata=(STRONG,), timeout=10))
    same((error.code(), error.details()), (grpc.StatusCode.PERMISSION_DENIED, "Forbidden"))
    same(metadata(error.trailing_metadata()).get("www-authenticate"), None)


@held
def an_upstream_that_is_gone(peer: Peer) -> None:
    gone = Peer(peer.channel, "peer.Gone")
    error = fails(lambda: gone.unary("Unary")(b"", metadata=(STRONG,), timeout=10))
    same(error.code(), grpc.StatusCode.UNAVAILABLE)
    assert error.details().startswith("upstream_unreachable: "), error.details()


def main() -> int:
    options = [("grpc.max_receive_message_length", LARGE), ("grpc.max_send_message_length", LARGE), ("grpc.enable_retries", 0)]
    if len(sys.argv) > 2:
        roots = grpc.ssl_channel_credentials(open(sys.argv[2], "rb").read())
        channel = grpc.secure_channel(sys.argv[1], roots, options)
    else:
        channel = grpc.insecure_channel(sys.argv[1], options)
    missed = 0
    with channel:
        for check in HELD:
            try:
                check(Peer(channel))
                print(check.__name__, flush=True)
            except (AssertionError, KeyError, grpc.RpcError) as error:
                missed += 1
                print(f"{check.__name__}: {error!r}", file=sys.stderr, flush=True)
    return 1 if missed else 0


sys.exit(main())
