"""A TCP proxy that cuts connections after a number of bytes, to see what clients make of it."""

import socket
import struct
import threading


class CutProxy:
    def __init__(self, port, cut_after=None, cuts=0):
        """Cuts each of the first `cuts` connections once `cut_after` bytes (both ways together) have passed."""
        self.port_behind, self.cut_after, self.cuts = port, cut_after, cuts
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = True
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            limit = self.cut_after if self.connections <= self.cuts else None
            Pair(client, socket.create_connection(("127.0.0.1", self.port_behind)), limit)

    def close(self):
        self.open = False
        self.listener.close()


class Pair:
    def __init__(self, a, b, limit):
        self.socks, self.left, self.lock = (a, b), limit, threading.Lock()
        for source, sink in ((a, b), (b, a)):
            threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                with self.lock:
                    if self.left is not None:
                        data = data[: self.left]
                        self.left -= len(data)
                sink.sendall(data)
                if self.left == 0:
                    self.reset()
                    return
        except OSError:
            pass
        self.reset()

    def reset(self):
        """RST on both sides: an abrupt cut, not an orderly end."""
        for sock in self.socks:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            except OSError:
                pass
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
