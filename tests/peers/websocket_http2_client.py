"""A WebSocket over HTTP/2 (RFC 8441): the library h2 for the stream, wsproto for what is on it.

Usage: websocket_http2_client.py HOST PORT AUTHORIZATION CA
"""

import os
import socket
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded
from h2.settings import SettingCodes
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage


class Stream:
    """One stream of a connection, as a socket that has a WebSocket on it."""

    def __init__(self, host, port, ca):
        tls = ssl.create_default_context(cafile=ca)
        tls.set_alpn_protocols(["h2"])
        self.socket = tls.wrap_socket(socket.create_connection(("127.0.0.1", int(port)), 20), server_hostname=host)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.http = H2Connection(H2Configuration(client_side=True))
        self.http.initiate_connection()
        self.events = []
        self.flush()
        self.until(RemoteSettingsChanged)
        assert self.http.remote_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
        self.frames = Connection(ConnectionType.CLIENT)

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def until(self, kind):
        while True:
            while self.events:
                event = self.events.pop(0)
                if isinstance(event, DataReceived):
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if isinstance(event, kind):
                    self.flush()
                    return event
            self.flush()
            data = self.socket.recv(65536)
            assert data, "the connection ended"
            self.events += self.http.receive_data(data)

    def begin(self, host, path, authorization):
        self.id = self.http.get_next_available_stream_id()
        self.http.send_headers(self.id, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", host), (":path", path),
            ("sec-websocket-version", "13"), ("authorization", authorization),
        ])  # fmt: skip
        return dict(self.until(ResponseReceived).headers)

    def send(self, event):
        data = self.frames.send(event)
        while data:
            room = min(self.http.local_flow_control_window(self.id), self.http.max_outbound_frame_size)
            if room == 0:
                self.flush()
                self.hear()
                continue
            self.http.send_data(self.id, data[:room])
            data = data[room:]
        self.flush()

    def hear(self):
        """Reads once, and remembers what it means."""
        data = self.socket.recv(65536)
        assert data, "the connection ended"
        for event in self.http.receive_data(data):
            if isinstance(event, DataReceived):
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                # The stream's end may come with none.
                if event.data:
                    self.frames.receive_data(event.data)
            elif isinstance(event, StreamEnded):
                self.events.append(event)
        self.flush()

    def message(self):
        """The next message, whole."""
        whole = None
        while True:
            for event in self.frames.events():
                if not isinstance(event, (TextMessage, BytesMessage)):
                    return event
                whole = event.data if whole is None else whole + event.data
                if event.message_finished:
                    return whole
            self.hear()


def main(host, port, authorization, ca):
    refused = Stream(host, port, ca).begin(host, "/any/chat", "Bearer none")
    assert refused[b":status"] == b"401", refused
    stream = Stream(host, port, ca)
    agreed = stream.begin(host, "/any/chat", authorization)
    assert agreed[b":status"] == b"200" and b"sec-websocket-accept" not in agreed, agreed
    for message in ["level", "größer", "last"]:
        stream.send(TextMessage(message))
        assert stream.message() == ("single-factor" if message == "level" else message)
    large = os.urandom(4 << 20)
    stream.send(BytesMessage(large))
    assert bytes(stream.message()) == large
    stream.send(Ping(b"there?"))
    pong = stream.message()
    assert isinstance(pong, Pong) and pong.payload == b"there?", pong
    stream.send(CloseConnection(4242, "that is all"))
    closed = stream.message()
    assert isinstance(closed, CloseConnection) and (closed.code, closed.reason) == (4242, "that is all"), closed
    while not any(isinstance(event, StreamEnded) for event in stream.events):
        stream.hear()
    print("all of it")


main(*sys.argv[1:])
