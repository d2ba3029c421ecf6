"""A client that does what no gRPC library would: many large messages, whole or broken off, that nobody waits for."""

import select
import socket
import struct

DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
FRAME_SIZE = 16_384  # that every server takes
ACK, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name, value):
    """A header field in HPACK, neither indexed nor compressed."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


class RawCall:
    """A connection of its own with one call of `path`, to which `body` is sent as far as the server takes it."""

    def __init__(self, address, path, body, answers_pings=True):
        host, port = address.rsplit(":", 1)
        self.over = False  # ended by the server, or with its connection
        self.unsent = memoryview(body)
        self.settings = {}  # the server's
        self.pings = 0  # of the server
        self._answers_pings = answers_pings
        self._received = b""
        self._windows = [65_535, 65_535]  # of the connection, of the call
        self._initial_window = 65_535
        self._socket = socket.create_connection((host, int(port)))
        fields = {
            ":method": "POST", ":scheme": "http", ":path": path, ":authority": host,
            "te": "trailers", "content-type": "application/grpc",
        }  # fmt: skip
        self._socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0)
            + frame(HEADERS, END_HEADERS, 1, b"".join(header(*field) for field in fields.items()))
        )

    def close(self):
        self._socket.close()

    def fileno(self):
        return self._socket.fileno()

    def may_send(self):
        return not self.over and self._next_size() > 0

    def send(self):
        """A piece of what is unsent. REQUIRES: may_send, and room in the socket."""
        size = self._next_size()
        try:
            self._socket.sendall(frame(DATA, 0, 1, bytes(self.unsent[:size])))
        except OSError:
            self.over = True
        self.unsent = self.unsent[size:]
        self._windows = [window - size for window in self._windows]

    def receive(self):
        """What the server said. REQUIRES: something is there."""
        try:
            self._receive()
        except OSError:
            self.over = True

    def _next_size(self):
        return min(*self._windows, FRAME_SIZE, len(self.unsent))

    def _receive(self):
        received = self._socket.recv(1 << 16)
        self.over |= not received
        self._received += received
        while len(self._received) >= 9:
            end = 9 + int.from_bytes(self._received[:3], "big")
            if len(self._received) < end:
                break
            kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
            self._take(kind, flags, stream, self._received[9:end])
            self._received = self._received[end:]

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for setting, value in struct.iter_unpack(">HI", payload):
                self.settings[setting] = value
                if setting == INITIAL_WINDOW_SIZE:
                    self._windows[1] += value - self._initial_window
                    self._initial_window = value
            self._socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == WINDOW_UPDATE:
            self._windows[0 if stream == 0 else 1] += int.from_bytes(payload, "big")
        elif kind == PING and not flags & ACK:
            self.pings += 1
            if not self._answers_pings:
                return
            self._socket.sendall(frame(PING, ACK, 0, payload))
        elif kind in (RESET, GO_AWAY):
            self.over = True


def send_all(calls, patience=1.0):
    """Sends until every call is sent or over, or the server has taken nothing for so many seconds."""
    while going := [call for call in calls if call.unsent and not call.over]:
        readable, writable, _ = select.select(going, [call for call in going if call.may_send()], [], patience)
        if not readable and not writable:
            break
        for call in readable:
            call.receive()
        for call in writable:
            if call.may_send():
                call.send()
