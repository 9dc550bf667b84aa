"""The wire between a guest and a target: a TCP relay that can be cut, stalled and taken down."""

import socket
import struct
import threading


class Link:
    def __init__(self, behind):
        self.behind = behind  # port of the target on the loopback
        self.up = threading.Event()
        self.up.set()
        self.flowing = threading.Event()
        self.flowing.set()
        self.pairs, self.lock = [], threading.Lock()
        self.accepted = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if not self.up.is_set():
                reset(client)
                continue
            try:
                target = socket.create_connection(("127.0.0.1", self.behind))
            except OSError:
                reset(client)
                continue
            self.accepted += 1
            with self.lock:
                self.pairs.append((client, target))
            for source, sink in ((client, target), (target, client)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.flowing.wait()
                sink.sendall(data)
        except OSError:
            pass
        reset(source)
        reset(sink)

    def cut(self):
        """Resets every connection; new ones are welcome."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for sock in pair:
                reset(sock)

    def down(self):
        self.up.clear()
        self.cut()

    def restore(self):
        self.up.set()
        self.flowing.set()

    def stall(self, seconds):
        """Nothing passes for a while, and nobody is told."""
        self.flowing.clear()
        threading.Timer(float(seconds), self.flowing.set).start()

    def close(self):
        self.listener.close()
        self.restore()
        self.cut()


def reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    except OSError:
        pass
