"""The contenders: whatever serves blocks, started on its core, with a URL or a port for the client."""

import json
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LUNETTE_BIN", ROOT / "build/bin"))
CEILING = pathlib.Path(os.environ.get("CEILING", ROOT / "build/release/tests/bench/ceiling"))
PEERS = ROOT / "build/peers"
IQN = "iqn.2026-01.org.lunette:bench"
SIZE = 256 << 20  # bytes of a LUN: far larger than any cache
TARGET_CORE, CLIENT_CORE = 0, 1


class Missing(Exception):
    """This contender cannot run here; says why."""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core})


class Server:
    """One process on the target's core; a context manager."""

    spins = False  # takes the core even without work
    lun = 0

    def __init__(self, folder):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return None

    def ready(self):
        """Waits for the line that tells the port."""
        limit = time.monotonic() + 30
        text = b""
        while time.monotonic() < limit:
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                piece = os.read(self.process.stdout.fileno(), 4096)
                text += piece
                found = re.search(rb"listening on \S+:(\d+)", text)
                if found:
                    self.port = int(found.group(1))
                    return
                if not piece:
                    break
        raise Missing(f"{self.command()[0]} did not start: {(self.folder / 'log').read_text(errors='replace')[-400:]}")

    def __enter__(self):
        log = open(self.folder / "log", "wb")
        command = [str(c) for c in self.command()]
        if not pathlib.Path(command[0]).exists():
            raise Missing(f"{command[0]} is not there")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                                        env=self.environment(), preexec_fn=pinned(TARGET_CORE))
        try:
            self.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        return f"iscsi://127.0.0.1:{self.port}/{IQN}/{self.lun}"

    def measure(self, load, seconds, warmup):
        """One measurement; a flat dict of figures."""
        args = [BIN / "lunette-bench", "--cpu", CLIENT_CORE, "--watch-cpu", TARGET_CORE, "--target-pid", self.process.pid,
                "--json", "-", "--duration", f"{int(seconds * 1000)}ms", "--warmup", f"{int(warmup * 1000)}ms",
                *load.bench_args(self), self.url]
        return figures(args)


def figures(args, timeout=600):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(a) for a in args)}: exit {done.returncode}\n{done.stderr[-600:]}")
    r = json.loads(done.stdout)
    out = {"iops": r.get("iops", r.get("logins_per_second")), "mb": r.get("mb_per_second"),
           "busy": r.get("watched_core", {}).get("busy"), "p50": r.get("latency_us", {}).get("p50"),
           "p99.9": r.get("latency_us", {}).get("p99.9"), "seconds": r.get("seconds"),
           "cpu": r.get("target", {}).get("cpu_us_per_command"), "client_cpu": r.get("client", {}).get("cpu_us_per_command")}
    return {k: v for k, v in out.items() if v is not None}


class Ceiling(Server):
    def __init__(self, folder, load, spin=False, file=None, piece=1 << 20, copy=None, size=SIZE):
        super().__init__(folder)
        self.load, self.file, self.piece, self.copy, self.size = load, file, piece, copy, size
        self.spins = spin

    def common(self):
        return ["--size", self.size, "--connections", self.load.sessions, *(["--spin"] if self.spins else [])]

    def command(self):
        extra = ["--file", file_for(self.file, self.piece)] if self.file else []
        return [CEILING, "serve", "--port", 0, *self.common(), *extra]

    def measure(self, load, seconds, warmup):
        return figures([CEILING, "client", "--port", self.port, *self.common(), "--cpu", CLIENT_CORE, "--watch-cpu",
                        TARGET_CORE, "--target-pid", self.process.pid, "--duration", seconds, "--warmup", warmup,
                        *load.ceiling_args(), *(["--copy", self.copy] if self.copy else [])])


pieces = {}  # of the files that file_for has made


def write_in(path, piece):
    """Of what is written at once the page cache makes one folio, and the next write to it leaves that as it is."""
    block = os.urandom(piece)
    with open(path, "r+b" if path.exists() else "wb", buffering=0) as out:
        for _ in range(SIZE // piece):
            out.write(block)


def synced(path, then=lambda _: None):
    with open(path, "r+b") as out:
        os.fsync(out.fileno())
        then(out.fileno())


def file_for(folder, piece=1 << 20, cached=True):
    """A file of SIZE, in a state that is the same for all who ask. `piece`: bytes that are written at once; the page cache
    keeps them together, and that makes its accesses several times as fast or as slow. `cached`: all of it is in the page
    cache, and to be written back: else the first write to each page would cost several times as much as later ones.
    Otherwise it is on the disk only. The file stays from one measurement to the next: making it anew keeps the disk busy."""
    path = pathlib.Path(folder) / ("lunette-bench.img" if cached else "lunette-bench-direct.img")
    if pieces.get(path) != piece:
        path.unlink(missing_ok=True)
        write_in(path, piece)
        synced(path)  # each block has its place on the disk
        pieces[path] = piece
    if cached:
        write_in(path, piece)
    else:
        synced(path, lambda fd: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED))
    return path


def remove_files():
    for path in pieces:
        path.unlink(missing_ok=True)


class Lunette(Server):
    """`store` is memory, null, file or direct; options go to serve; `data` and `piece` are file_for's."""

    def __init__(self, folder, load, store="memory", options=(), data=None, piece=1 << 20):
        super().__init__(folder)
        self.load, self.store, self.options, self.data, self.piece = load, store, list(options), data, piece
        self.spins = "always" in self.options

    def spec(self):
        if self.store in ("memory", "null"):
            return f"{self.store}:size={SIZE}"
        if self.store == "direct":
            return f"file:{file_for(self.data, cached=False)},direct"
        return f"file:{file_for(self.data, self.piece)}"

    def command(self):
        return [BIN / "lunette-target", "serve", "--target", IQN, "--lun", self.spec(), "--portal", "127.0.0.1:0",
                "--reactors", 1, "--log-level", "warn", *self.options]

    def ready(self):
        super().ready()
        if self.store == "memory":
            self.fill()

    def fill(self):
        """The memory store is sparse, and reading what was never written touches no memory: that would be no match for the
        ceiling, which gathers from real pages."""
        mib = int(re.search(r"size=(\d+)", self.spec()).group(1)) >> 20
        subprocess.run([str(BIN / "lunette-bench"), "--cpu", str(CLIENT_CORE), "--sequential", "--read", "0", "--size", "1M", "--depth", "8",
                        "--commands", str(mib), self.url], check=True, capture_output=True, timeout=120)


def has_poll_option():
    done = subprocess.run([str(BIN / "lunette-target"), "serve", "--help"], capture_output=True, text=True)
    return "--poll" in done.stdout


class Peer(Server):
    def environment(self):
        libs = [str(p) for p in (self.path / "usr/lib/x86_64-linux-gnu", self.path / "lib/x86_64-linux-gnu", self.path / "usr/lib",
                                 self.path / "lib") if p.exists()]
        return dict(os.environ, LD_LIBRARY_PATH=":".join(libs), TGT_IPC_SOCKET=str(self.folder / "tgtd.sock"))

    def wait_port(self):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise Missing(f"{self.command()[0]} does not listen: {(self.folder / 'log').read_text(errors='replace')[-400:]}")

    def disk(self):
        """On a memory file system: the nearest that it has to a memory store."""
        return file_for("/dev/shm")


class Tgt(Peer):
    path = PEERS / "tgt"
    lun = 1

    def __init__(self, folder, load):
        super().__init__(folder)
        self.port, self.control = free_port(), 1000 + os.getpid() % 30000

    def command(self):
        return [self.path / "usr/sbin/tgtd", "-f", "-C", self.control, "--iscsi", f"portal=127.0.0.1:{self.port}"]

    def adm(self, *args):
        subprocess.run([str(a) for a in (self.path / "usr/sbin/tgtadm", "-C", self.control, "--lld", "iscsi", *args)],
                       env=self.environment(), check=True, capture_output=True, timeout=30)

    def ready(self):
        self.wait_port()
        try:
            self.adm("--mode", "target", "--op", "new", "--tid", 1, "-T", IQN)
            self.adm("--mode", "logicalunit", "--op", "new", "--tid", 1, "--lun", 1, "-b", self.disk())
            self.adm("--mode", "target", "--op", "bind", "--tid", 1, "-I", "ALL")
        except subprocess.CalledProcessError as error:
            raise Missing(f"tgtadm: {error.stderr.decode(errors='replace')}") from error


ISTGT_CONF = """[Global]
  NodeBase "iqn.2026-01.org.lunette"
  PidFile {d}/istgt.pid
  AuthFile {d}/auth.conf
  MediaDirectory {d}
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 64
  MaxConnections 8
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
  TargetName bench
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  AuthGroup None
  UseDigest Auto
  UnitType Disk
  QueueDepth 128
  LUN0 Storage {disk} {mib}MB
"""


class Istgt(Peer):
    path = PEERS / "istgt"

    def __init__(self, folder, load):
        super().__init__(folder)
        self.port = free_port()

    def command(self):
        return [self.path / "usr/sbin/istgt", "-D", "-c", self.folder / "istgt.conf"]

    def __enter__(self):
        (self.folder / "istgt.conf").write_text(ISTGT_CONF.format(d=self.folder, control=free_port(), port=self.port,
                                                                  disk=self.disk(), mib=SIZE >> 20))
        (self.folder / "auth.conf").write_text("[AuthGroup1]\n")
        os.chmod(self.folder / "auth.conf", 0o600)
        return super().__enter__()

    def ready(self):
        self.wait_port()
