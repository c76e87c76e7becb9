"""The two ends of the gate under measurement: an upstream that answers at once, and a client in lockstep.

Lockstep, since counts are to be the same each time: the client writes one request on each of its connections, reads all
answers, and only then writes the next ones. How many wake-ups a request costs then hardly depends on how fast the
machine is.
"""

import selectors
import socket
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 64\r\n\r\n" + b'{"ok":true}'.ljust(64)
CONNECTIONS = 8
PATIENCE = 60.0


class Upstream:
    """Answers every request with the same 64 bytes, on connections that stay, and counts them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.served = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        ready = selectors.DefaultSelector()
        ready.register(self.listener, selectors.EVENT_READ)
        held = {}
        while True:
            for key, _ in ready.select():
                connection = key.fileobj
                if connection is self.listener:
                    accepted, _ = connection.accept()
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ready.register(accepted, selectors.EVENT_READ)
                    held[accepted] = b""
                    continue
                try:
                    came = connection.recv(65536)
                except OSError:
                    came = b""
                if not came:
                    ready.unregister(connection)
                    del held[connection]
                    connection.close()
                    continue
                # No request of ours has a body, so that an empty line ends it.
                heads = (held[connection] + came).split(b"\r\n\r\n")
                held[connection] = heads.pop()
                self.served += len(heads)
                connection.sendall(ANSWER * len(heads))


def request(path, token):
    """One request as it goes over the wire."""
    lines = [f"GET {path} HTTP/1.1", "host: api.example", "accept: application/json", "user-agent: instructions"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _answer(reader):
    """The status of one answer, which is read to its end."""
    status = reader.readline().split(b" ", 2)
    if len(status) < 2:
        raise RuntimeError("the gate closed a connection in the middle")
    length = 0
    while (line := reader.readline().strip()):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if name.lower() == b"transfer-encoding":
            raise RuntimeError("an answer in chunks: this client reads those with a length only")
    reader.read(length)
    return int(status[1])


def connect(port, count):
    return [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(count)]


def until_allowed(port, asked, ended):
    """Waits until the keys are read, and this request is let through; until then connections may be closed."""
    end = time.monotonic() + 180
    while True:
        try:
            with Client(port) as client:
                if client.ask([asked]) == [200]:
                    return
        except (OSError, RuntimeError):
            pass
        if ended() or time.monotonic() > end:
            raise RuntimeError("the gate lets nothing through that it should")
        time.sleep(0.2)


class Client:
    """So many connections to the gate, which stay open from one count to the next."""

    def __init__(self, port):
        self.sockets = connect(port, CONNECTIONS)
        for connection in self.sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.readers = [connection.makefile("rb") for connection in self.sockets]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for opened in self.readers + self.sockets:
            opened.close()

    def ask(self, requests):
        """Sends these, a round at a time, and returns the statuses."""
        statuses = []
        for first in range(0, len(requests), CONNECTIONS):
            batch = requests[first : first + CONNECTIONS]
            for connection, asked in zip(self.sockets, batch):
                connection.sendall(asked)
            statuses += [_answer(reader) for reader, _ in zip(self.readers, batch)]
        return statuses
