"""A relay that understands PDUs as far as a fault needs it: it damages data segments on their way, so that their digest is
wrong, and lets everything else pass. Header digests are off, data digests on, on the connections that it carries."""

import socket
import struct
import threading


class Damage:
    def __init__(self, behind, opcode, every, times, flag=0, value=0):
        """Damages each `every`-th PDU of that opcode that has data, until `times` were; only those whose second byte has
        `value` in the bits of `flag`. Of the Data-Out of one command only one: LIO does not survive a second (docs/interop.md)."""
        self.behind, self.opcode, self.every, self.times = behind, opcode, every, times
        self.flag, self.value = flag, value
        self.seen = self.done = 0
        self.struck = set()  # initiator task tags
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = True
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                client, _ = self.listener.accept()
                target = socket.create_connection(("127.0.0.1", self.behind))
            except OSError:
                return
            for sock in (client, target):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stage = threading.Event()  # set: login is over, data has digests
            for source, sink in ((client, target), (target, client)):
                threading.Thread(target=self.pump, args=(source, sink, stage), daemon=True).start()

    def pump(self, source, sink, stage):
        reader = source.makefile("rb")
        try:
            while True:
                header = reader.read(48)
                if len(header) < 48:
                    break
                length = struct.unpack(">I", b"\0" + header[5:8])[0]
                rest = header[4] * 4 + (length + 3) // 4 * 4 + (4 if length and stage.is_set() else 0)
                body = bytearray(reader.read(rest))
                if stage.is_set() and length and self.strikes(header):
                    body[header[4] * 4 + length // 2] ^= 0x55
                if header[0] & 0x3F == 0x23 and header[1] & 0x83 == 0x83 and header[36] == 0:
                    stage.set()  # before the last login response passes: nothing comes back earlier
                sink.sendall(header + body)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def strikes(self, header):
        with self.lock:
            if header[0] & 0x3F != self.opcode or header[1] & self.flag != self.value or self.done == self.times:
                return False
            if self.opcode == 0x05 and header[16:20] in self.struck:
                return False
            self.seen += 1
            if self.seen % self.every:
                return False
            self.struck.add(header[16:20])
            self.done += 1
            return True

    def close(self):
        self.open = False
        self.listener.close()
