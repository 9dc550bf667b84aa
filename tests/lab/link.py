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
        self.port = 0
        self.listen()

    def listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
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
            for sock in (client, target):  # a relay that waits for acknowledgements costs 40 ms for each small PDU
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        """Resets every connection and refuses new ones. Refuses, because Linux 6.1 may never use a session again whose
        connection was accepted and reset at once (docs/interop.md)."""
        if self.up.is_set():
            self.up.clear()
            self.stop_listening()
        self.cut()

    def restore(self):
        if not self.up.is_set():
            self.listen()
            self.up.set()
        self.flowing.set()

    def stop_listening(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # close alone does not wake who accepts
        except OSError:
            pass
        self.listener.close()

    def stall(self, seconds):
        """Nothing passes for a while, and nobody is told."""
        self.flowing.clear()
        threading.Timer(float(seconds), self.flowing.set).start()

    def close(self):
        self.stop_listening()
        self.up.set()  # a timer that restores has nothing to do any more
        self.flowing.set()
        self.cut()


def reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    except OSError:
        pass
