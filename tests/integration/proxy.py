"""A TCP proxy that cuts connections after a number of bytes or at random, to see what clients make of it."""

import random
import socket
import struct
import threading
import time


class CutProxy:
    def __init__(self, port, cut_after=None, cuts=0):
        """Cuts each of the first `cuts` connections once `cut_after` bytes (both ways together) have passed."""
        self.port_behind, self.cut_after, self.cuts = port, cut_after, cuts
        self.connections = 0
        self.pairs = []
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
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            limit = self.cut_after if self.connections <= self.cuts else None
            try:
                behind = socket.create_connection(("127.0.0.1", self.port_behind))
                behind.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:  # nobody there: as good as refused
                client.close()
                continue
            self.pairs = [pair for pair in self.pairs if not pair.over] + [Pair(client, behind, limit)]

    def live(self):
        return [pair for pair in self.pairs if not pair.over]

    def cut_at_random(self, seconds, seed, least=0.05, most=0.8):
        """Cuts one live connection after the other, at random moments, for a time; mostly at once, sometimes by a
        silence first: bytes stop, then the connection breaks. Returns how many were cut."""
        rng, cuts, end = random.Random(seed), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(rng.uniform(least, most))
            live = self.live()
            if not live:
                continue
            pair = rng.choice(live)
            if rng.random() < 0.3:
                pair.flowing.clear()
                time.sleep(rng.uniform(0, 0.2))
            pair.reset()
            cuts += 1
        return cuts

    def close(self):
        self.open = False
        self.listener.close()


class Pair:
    def __init__(self, a, b, limit):
        self.socks, self.left, self.lock = (a, b), limit, threading.Lock()
        self.over = False
        self.passed = 0  # bytes, both ways
        self.flowing = threading.Event()  # set: bytes pass
        self.flowing.set()
        for source, sink in ((a, b), (b, a)):
            threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                self.flowing.wait()
                if self.over:
                    return
                with self.lock:
                    if self.left is not None:
                        data = data[: self.left]
                        self.left -= len(data)
                sink.sendall(data)
                self.passed += len(data)
                if self.left == 0:
                    self.reset()
                    return
        except OSError:
            pass
        self.reset()

    def reset(self):
        """RST on both sides: an abrupt cut, not an orderly end."""
        self.over = True
        self.flowing.set()
        for sock in self.socks:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Wakes a thread that reads from it, silently: while one does, close alone would do nothing.
                sock.shutdown(socket.SHUT_RD)
            except OSError:
                pass
            try:
                sock.close()
            except OSError:
                pass
