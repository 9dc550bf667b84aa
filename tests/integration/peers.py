"""Debian's other targets, tgt and istgt, as tests and the lab start them: from build/peers, where scripts/setup-peers unpacks
their packages, on free loopback ports.
"""

import os
import signal
import socket
import time

import pytest

import lunette

PEERS = lunette.ROOT / "build/peers"
IQN = "iqn.2026-01.org.lunette:peer"
USER, SECRET = "alice", "alicesecret123"
MUTUAL_USER, MUTUAL_SECRET = "disk", "disksecret4567"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def peer_binary(name):
    path = PEERS / name
    found = [p for p in (path / "usr/sbin", path / "usr/bin") if p.exists()]
    if not found:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{path} is missing; scripts/setup-peers should have unpacked it")
        pytest.skip(f"{name} is not unpacked: run scripts/setup-peers")
    return path


def peer_env(path):
    libs = [str(p) for p in (path / "usr/lib/x86_64-linux-gnu", path / "lib/x86_64-linux-gnu", path / "usr/lib") if p.exists()]
    return {"LD_LIBRARY_PATH": ":".join(libs)}


class Peer(lunette.Program):
    stop_signal = signal.SIGKILL  # tgtd ignores SIGTERM while it has targets

    def finish(self):
        self.expect_exit = None
        return self.stop()

    def wait_port(self, port):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, self.stderr()
                time.sleep(0.05)
        raise AssertionError("the peer does not listen\n" + self.stderr())


def start_tgt(programs, tmp_path, disk, chap, mutual):
    path = peer_binary("tgt")
    port, control = free_port(), 1000 + os.getpid() % 30000
    env = dict(peer_env(path), TGT_IPC_SOCKET=str(tmp_path / "tgtd.sock"))
    peer = Peer(tmp_path, "tgtd", [path / "usr/sbin/tgtd", "-f", "-C", str(control), "--iscsi", f"portal=127.0.0.1:{port}"], env)
    programs.append(peer)
    peer.wait_port(port)

    def adm(*args):
        lunette.run(path / "usr/sbin/tgtadm", "-C", str(control), "--lld", "iscsi", *args, env=env)

    adm("--mode", "target", "--op", "new", "--tid", "1", "-T", IQN)
    adm("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", disk)
    adm("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")
    if chap:
        adm("--mode", "account", "--op", "new", "--user", USER, "--password", SECRET)
        adm("--mode", "account", "--op", "bind", "--tid", "1", "--user", USER)
    if mutual:
        adm("--mode", "account", "--op", "new", "--user", MUTUAL_USER, "--password", MUTUAL_SECRET)
        adm("--mode", "account", "--op", "bind", "--tid", "1", "--user", MUTUAL_USER, "--outgoing")
    return port, 1


ISTGT_CONF = """[Global]
  NodeBase "iqn.2026-01.org.lunette"
  PidFile {d}/istgt.pid
  AuthFile {d}/auth.conf
  MediaDirectory {d}
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 16
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
  AuthMethod None
  Portal UC1 127.0.0.1:{control}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:{port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask ALL
[LogicalUnit1]
  TargetName peer
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod {method}
  AuthGroup AuthGroup1
  UseDigest Auto
  UnitType Disk
  LUN0 Storage {disk} 64MB
"""

ISTGT_AUTH = f"""[AuthGroup1]
  Auth "{USER}" "{SECRET}" "{MUTUAL_USER}" "{MUTUAL_SECRET}"
"""


def start_istgt(programs, tmp_path, disk, chap, mutual, again=3):
    """It cannot choose its port by itself: one that was free may be somebody else's by the time it listens."""
    path = peer_binary("istgt")
    port, control = free_port(), free_port()
    method = "CHAP Mutual" if mutual else "CHAP" if chap else "None"
    conf = tmp_path / "istgt.conf"
    conf.write_text(ISTGT_CONF.format(d=tmp_path, port=port, control=control, disk=disk, method=method))
    (tmp_path / "auth.conf").write_text(ISTGT_AUTH)
    os.chmod(tmp_path / "auth.conf", 0o600)
    peer = Peer(tmp_path, "istgt", [path / "usr/sbin/istgt", "-D", "-c", conf], peer_env(path))
    try:
        peer.wait_port(port)
    except AssertionError:
        if again and "listen error" in peer.stderr():
            peer.stop()
            return start_istgt(programs, tmp_path, disk, chap, mutual, again - 1)
        programs.append(peer)
        raise
    programs.append(peer)
    return port, 0
