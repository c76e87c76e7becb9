"""Opens COUNT connections to PORT of loopback and sends each a byte of a head now and then, for ever.

Says `open` when all are open, and at the end, when the other side has closed each, after how many seconds it closed the
first and the last."""

import resource
import selectors
import socket
import sys
import time

PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])
EVERY = 0.5
PATIENCE = 30

_soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, COUNT + 200) if hard >= 0 else COUNT + 200, hard))

HEAD = b"GET /public/slow HTTP/1.1\r\nHost: gate.example\r\nX-Slow: " + b"a" * 1000
selector = selectors.DefaultSelector()
opened = {}
for _ in range(COUNT):
    one = socket.create_connection(("127.0.0.1", PORT))
    one.setblocking(False)
    one.send(HEAD[:1])
    opened[one] = [time.monotonic(), 1]
    selector.register(one, selectors.EVENT_READ)
print("open", flush=True)

lasted = []


def close(one):
    lasted.append(time.monotonic() - opened.pop(one)[0])
    selector.unregister(one)
    one.close()


begin = turn = time.monotonic()
while opened and time.monotonic() - begin < PATIENCE:
    for key, _ in selector.select(0.05):
        try:
            # An answer (408) may come before the end.
            if not key.fileobj.recv(4096):
                close(key.fileobj)
        except ConnectionError:
            close(key.fileobj)
    if time.monotonic() - turn >= EVERY:
        turn = time.monotonic()
        for one, state in list(opened.items()):
            try:
                one.send(HEAD[state[1] : state[1] + 1])
                state[1] += 1
            except (ConnectionError, BlockingIOError):
                pass
print(len(opened), min(lasted, default=0), max(lasted, default=0), flush=True)
