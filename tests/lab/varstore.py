"""Writes variables into a copy of EDK2's variable store (OVMF_VARS), and iSCSI attempts as variables.

The store is a firmware volume: its header gives its own length at byte 48, then comes a store header of 28 bytes, then
variables, each aligned to four bytes: a header of 60 bytes, the name in UTF-16 with its zero, the data. The layout of
an attempt (1049 bytes, packed) was read off the store that OVMF 2022.11 makes when it finds none."""

import socket
import struct
import uuid

STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")  # "authenticated" variables, though ours are not signed
ISCSI_CONFIG = uuid.UUID("4b47d616-a8d6-4552-9d44-ccad2e0f4cf9")
INITIATOR_NAME = uuid.UUID("59324945-ec44-4c0d-b1cd-9db139df070c")
START, ADDED = 0x55AA, 0x3F
NON_VOLATILE, BOOT_SERVICE = 1, 2
ATTEMPTS = 8


class Store:
    def __init__(self, data):
        self.data = bytearray(data)
        self.base = struct.unpack_from("<H", data, 48)[0]
        assert uuid.UUID(bytes_le=bytes(data[self.base : self.base + 16])) == STORE, "this is no OVMF variable store"
        self.end = self.base + struct.unpack_from("<I", data, self.base + 16)[0]

    def free(self):
        """Where the next variable goes."""
        at = self.base + 28
        while struct.unpack_from("<H", self.data, at)[0] == START:
            name_len, data_len = struct.unpack_from("<II", self.data, at + 36)
            at += (60 + name_len + data_len + 3) & ~3
        return at

    def add(self, vendor, name, value):
        name = name.encode("utf-16le") + b"\0\0"
        head = struct.pack("<HBBI", START, ADDED, 0, NON_VOLATILE | BOOT_SERVICE)
        head += bytes(8 + 16 + 4)  # monotonic count, time stamp, key: of signed variables
        head += struct.pack("<II", len(name), len(value)) + vendor.bytes_le
        at = self.free()
        assert at + len(head) + len(name) + len(value) <= self.end, "the variable store is full"
        self.data[at : at + len(head) + len(name) + len(value)] = head + name + value


def text(value, size):
    raw = value.encode()
    assert len(raw) < size, value
    return raw.ljust(size, b"\0")


def address(value):
    return socket.inet_aton(value).ljust(16, b"\0")


def attempt(index, mac="", portal="0.0.0.0:3260", target="", guest="10.0.2.15", gateway="10.0.2.2", chap=None,
            mutual=None, active=True):
    """One attempt over IPv4 with a fixed address. chap and mutual are (name, secret) of each side."""
    host, port = portal.rsplit(":", 1)
    head = bytes(16)  # list links, of use in memory only
    head += struct.pack("<BBBBBBHH", 0, index, 0, 0, 0, 0, 0, 0)
    head += text(f"Attempt {index}", 12) + text(mac.upper(), 96)
    head += bytes(48)  # name servers, DHCP server
    session = struct.pack("<HBB", int(port), active, 0)  # enabled, IPv4
    session += address(guest) + socket.inet_aton("255.255.255.0") + address(gateway)
    session += struct.pack("<BB", 0, 0) + text(target, 224) + address(host)  # nothing from DHCP
    # LUN 0; 10 s to connect, three times more, for emulation on a busy machine; ISID
    session += struct.pack("<B8sHB6s", 0, bytes(8), 10000, 3, bytes([0x80, 0, 0, 0, 0, index]))
    session += struct.pack("<BH16sB", 0, 0, bytes(16), 0) + text("", 255)
    auth = struct.pack("<BB", 1 if chap else 0, 1 if mutual else 0)
    for name, secret in (chap or ("", ""), mutual or ("", "")):
        auth += text(name, 127) + text(secret, 17)
    out = head + session + auth + bytes([0, active])  # not set up automatically, active
    assert len(out) == 1049, len(out)
    return out


def with_attempts(data, initiator, attempts):
    """A variable store like `data`, in which these attempts (arguments of `attempt`) are made in order."""
    store = Store(data)
    store.add(INITIATOR_NAME, "I_NAME", initiator.encode() + b"\0")
    # The firmware keeps eight, and makes all of them anew when it finds less.
    store.add(ISCSI_CONFIG, "InitialAttemptOrder", bytes(range(1, ATTEMPTS + 1)))
    store.add(ISCSI_CONFIG, "AttemptOrder", bytes(range(1, len(attempts) + 1)))
    for index in range(1, ATTEMPTS + 1):
        given = attempts[index - 1] if index <= len(attempts) else {"active": False}
        store.add(INITIATOR_NAME, f"Attempt {index}", attempt(index, **given))
    return bytes(store.data)
