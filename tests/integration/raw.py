"""A raw initiator: builds any PDU, right or wrong, and reads what comes back. For hostile-input tests only.

Shares nothing with the C code on purpose: offsets here are read from RFC 7143 chapter 11 by hand.
"""

import socket
import struct

ISID = bytes([0x80, 0x12, 0x34, 0x56, 0x00, 0x01])
NONE = 0xFFFFFFFF


def crc32c(data, table=[]):
    if not table:
        for n in range(256):
            for _ in range(8):
                n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
            table.append(n)
    crc = NONE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return struct.pack("<I", crc ^ NONE)


def text(*pairs):
    return b"".join((p if isinstance(p, bytes) else p.encode()) + b"\0" for p in pairs)


def bhs(opcode, flags=0x80, b2=0, b3=0, data_len=0, lun=0, itt=1, rest=b"", immediate=False, ahs_words=0):
    head = bytes([opcode | (0x40 if immediate else 0), flags, b2, b3, ahs_words]) + struct.pack(">I", data_len)[1:]
    body = (lun if isinstance(lun, bytes) else struct.pack(">Q", lun)) + struct.pack(">I", itt)
    return (head + body + rest).ljust(48, b"\0")


class Closed(Exception):
    """The target closed the connection."""


class Pdu:
    def __init__(self, header, ahs, data):
        self.header, self.ahs, self.data = header, ahs, data
        self.opcode = header[0] & 0x3F
        self.flags = header[1]
        self.itt = struct.unpack(">I", header[16:20])[0]

    def u32(self, at):
        return struct.unpack(">I", self.header[at : at + 4])[0]

    @property
    def status(self):  # Login Response
        return self.header[36], self.header[37]

    def keys(self):
        return [k for k in self.data.decode("latin-1").split("\0") if k]

    def sense(self):
        raw = self.data[2:]
        if raw[0] & 0x7F in (0x70, 0x71):
            return raw[2] & 0xF, raw[12], raw[13]
        return raw[1] & 0xF, raw[2], raw[3]

    def __repr__(self):
        return f"<PDU {self.opcode:#x} flags {self.flags:#x} b2 {self.header[2]:#x} b3 {self.header[3]:#x} {self.data[:60]!r}>"


class Raw:
    def __init__(self, port, iqn, timeout=8):
        self.iqn = iqn
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.settimeout(timeout)
        self.cmd_sn, self.exp_stat_sn, self.itt = 1, 0, 0x100
        self.header_digest = self.data_digest = False
        self.initiator = "iqn.2026-01.org.lunette:raw"

    def close(self):
        self.sock.close()

    def send(self, header, data=b"", ahs=b"", break_header=False, break_data=False, pad=True):
        out = header + ahs
        if self.header_digest:
            digest = crc32c(header + ahs)
            out += bytes([digest[0] ^ 1]) + digest[1:] if break_header else digest
        if data:
            padded = data + (b"\0" * (-len(data) % 4) if pad else b"")
            out += padded
            if self.data_digest:
                digest = crc32c(padded)
                out += bytes([digest[0] ^ 1]) + digest[1:] if break_data else digest
        self.sock.sendall(out)

    def exactly(self, n):
        got = b""
        while len(got) < n:
            try:
                piece = self.sock.recv(n - len(got))
            except ConnectionError as error:
                raise Closed() from error
            if not piece:
                raise Closed()
            got += piece
        return got

    def recv(self):
        header = self.exactly(48)
        ahs = self.exactly(header[4] * 4)
        if self.header_digest:
            assert self.exactly(4) == crc32c(header + ahs)
        length = struct.unpack(">I", b"\0" + header[5:8])[0]
        data = self.exactly(length)
        pad = self.exactly(-length % 4)
        if self.data_digest and length:
            assert self.exactly(4) == crc32c(data + pad)
        pdu = Pdu(header, ahs, data)
        if pdu.opcode not in (0x25, 0x31) or (pdu.opcode == 0x25 and pdu.flags & 1):
            self.exp_stat_sn = (pdu.u32(24) + 1) & NONE
        return pdu

    def login_pdu(self, data, csg=1, nsg=3, transit=True, more=False, isid=ISID, tsih=0, itt=0x10, cid=0, vmax=0, vmin=0,
                  cmd_sn=1):
        flags = (0x80 if transit else 0) | (0x40 if more else 0) | (csg << 2) | nsg
        rest = struct.pack(">HHII", cid, 0, cmd_sn, self.exp_stat_sn)
        return bhs(0x03, flags, vmax, vmin, len(data), isid + struct.pack(">H", tsih), itt, rest, immediate=True)

    def login_send(self, *pairs, **kw):
        data = text(*pairs)
        self.send(self.login_pdu(data, **kw), data)

    def names(self, *extra):
        return (f"InitiatorName={self.initiator}", f"TargetName={self.iqn}", "SessionType=Normal", *extra)

    def login(self, *extra, **kw):
        """A whole login in one step to full feature phase; returns the response."""
        self.login_send(*self.names(*extra), **kw)
        answer = self.recv()
        assert answer.opcode == 0x23 and answer.status == (0, 0), answer
        assert answer.flags & 0x83 == 0x83, answer
        for key in answer.keys():
            if key == "HeaderDigest=CRC32C":
                self.header_digest = True
            if key == "DataDigest=CRC32C":
                self.data_digest = True
        return answer

    def next_itt(self):
        self.itt += 1
        return self.itt

    def sns(self, immediate=False):
        out = struct.pack(">II", self.cmd_sn, self.exp_stat_sn)
        if not immediate:
            self.cmd_sn = (self.cmd_sn + 1) & NONE
        return out

    def command(self, cdb, flags=0x81, edtl=0, data=b"", lun=0, itt=None, immediate=False, cmd_sn=None, ahs=b"", **kw):
        itt = self.next_itt() if itt is None else itt
        sns = self.sns(immediate) if cmd_sn is None else struct.pack(">II", cmd_sn, self.exp_stat_sn)
        rest = struct.pack(">I", edtl) + sns + cdb.ljust(16, b"\0")
        self.send(bhs(0x01, flags, 0, 0, len(data), lun << 48, itt, rest, immediate, len(ahs) // 4), data, ahs, **kw)
        return itt

    def data_out(self, itt, ttt, data, offset=0, data_sn=0, final=True, **kw):
        rest = struct.pack(">IIIIII", ttt, 0, self.exp_stat_sn, 0, data_sn, offset)
        self.send(bhs(0x05, 0x80 if final else 0, 0, 0, len(data), 0, itt, rest), data, **kw)

    def nop(self, data=b"ping", **kw):
        """Sends a ping and reads until its answer; returns what came before it."""
        itt = self.next_itt()
        rest = struct.pack(">I", NONE) + self.sns(True)
        self.send(bhs(0x00, 0x80, 0, 0, len(data), 0, itt, rest, immediate=True), data, **kw)
        before = []
        while True:
            pdu = self.recv()
            if pdu.opcode == 0x20 and pdu.itt == itt:
                assert pdu.data == data
                return before
            before.append(pdu)

    def write10(self, lba, blocks):
        return struct.pack(">BBIBHB", 0x2A, 0, lba, 0, blocks, 0)

    def read10(self, lba, blocks):
        return struct.pack(">BBIBHB", 0x28, 0, lba, 0, blocks, 0)

    def clear_unit_attention(self):
        for _ in range(3):
            self.command(bytes(6), 0x80)
            if self.recv().header[3] == 0:
                return
        raise AssertionError("TEST UNIT READY does not become GOOD")
