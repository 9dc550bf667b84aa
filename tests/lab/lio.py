"""Our initiator on the host against LIO, the Linux kernel's target, in a guest.

A case is a list of checks in Python. The guest makes three targets (guest script cases/lio.sh) and then does what the host
says; every run of our programs leaves a capture, which the runner shows to tshark and to the referee.
"""

import dataclasses
import json
import os
import pathlib
import queue
import random
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build" / "bin"
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from lab import Guest  # noqa: E402
from pdus import Damage  # noqa: E402
from proxy import CutProxy  # noqa: E402
from target import free_port  # noqa: E402

IQN = "iqn.2026-01.org.lunette:lio"
SECRET, MUTUAL = "guest-secret-0001", "target-secret-0001"
MINUTE = os.environ.get("MINUTE") == "1"


class Failed(Exception):
    pass


class Lio:
    """The guest with LIO in it, and the checks of a case."""

    def __init__(self, folder, seconds, mended):
        self.folder, self.results, self.runs = folder, [], 0
        self.damaged = set()  # names of captures whose connections were damaged
        self.port = free_port()
        self.orders, self.answers = queue.Queue(), queue.Queue()
        self.ready = threading.Event()
        verbs = {"next": self.next_order, "result": lambda status: self.answers.put(int(status))}
        env = {"IQN": IQN, "PORT": self.port, "SECRET": SECRET, "MUTUAL": MUTUAL, "LIO": "1", "MENDED": str(int(mended))}
        self.guest = Guest(folder, "lio", env, verbs, seconds, memory=384,
                           forwards=[(self.port, f"127.0.0.1:{self.port}")], kernel="softlockup_panic=1")
        self.thread = threading.Thread(target=self.guest.run, daemon=True)
        self.log = open(folder / "initiator.log", "a", encoding="utf-8")

    def next_order(self):
        self.ready.set()
        return self.orders.get()

    def start(self):
        self.thread.start()
        while not self.ready.wait(0.1):
            if not self.thread.is_alive():
                return False
        return True

    def order(self, command):
        """A command in the guest, to its end."""
        self.orders.put(command)
        status = self.answers.get(timeout=60)
        if status:
            raise Failed(f"in the guest: {command}: {status}")

    def finish(self):
        self.orders.put("finish")
        self.thread.join(30)
        self.log.close()

    def check(self, name, function, /, *args, **kw):
        started = time.monotonic()
        try:
            function(*args, **kw)
            ok = True
        except (Failed, subprocess.TimeoutExpired, OSError, queue.Empty) as e:
            ok = False
            self.log.write(f"FAILED: {name}: {e}\n")
        self.log.write(f"== {'ok' if ok else 'not ok'}: {name} ({time.monotonic() - started:.1f} s)\n")
        self.log.flush()
        self.results.append((ok, name))

    # ---- what a check does ----

    def url(self, name="plain", port=None, lun="/0"):
        return f"iscsi://127.0.0.1:{port or self.port}/{IQN}:{name}{lun}"

    def run(self, program, *args, status=0, timeout=100):
        """One run of our initiator with a capture. Its output when it ended with that status."""
        self.runs += 1
        capture = self.folder / f"initiator-{self.runs:03}.pcapng"
        command = [str(word) for word in (BIN / program, *args, "--capture", capture)]
        environment = dict(os.environ, LUNETTE_INITIATOR_NAME="iqn.2026-01.org.lunette:lab-host")
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, env=environment)
        self.log.write(f"$ {' '.join(command)}\n{done.stdout[:4000]}{done.stderr[-4000:]}exit {done.returncode}\n")
        if done.returncode != status:
            raise Failed(f"{' '.join(command)}: exit {done.returncode}, not {status}: {done.stderr.strip()[-500:]}")
        return done

    def initiator(self, *args, **kw):
        return self.run("lunette-initiator", *args, "--capture-buffer", "256M", **kw)

    def says(self, pattern, *args, where="stdout", **kw):
        done = self.initiator(*args, **kw)
        if not re.search(pattern, getattr(done, where), re.M):
            raise Failed(f"no {pattern!r} in {getattr(done, where)!r}")
        return done

    def damages(self):
        """The run before this had data on its way to us damaged: its capture shows it."""
        self.damaged.add(f"initiator-{self.runs:03}.pcapng")

    def data(self, size, seed):
        """Random bytes as a file; the same for the same seed."""
        path = self.folder / f"data-{seed}"
        if not path.exists():
            path.write_bytes(random.Random(seed).randbytes(size))
        return path

    def there_and_back(self, *options, size=4 << 20, seed=1, port=None, name="plain"):
        """In, verify, out, compare: a wrong byte anywhere fails."""
        source, back = self.data(size, seed), self.folder / "back"
        url = self.url(name, port)
        self.initiator("copy", source, url, *options)
        self.initiator("verify", url, source, *options)
        self.initiator("read", url, "--blocks", size // 512, "--out", back, *options)
        if back.read_bytes() != source.read_bytes():
            raise Failed("what came back differs")


@dataclasses.dataclass
class LioCase:
    name: str
    about: str
    body: object  # (Lio) -> None
    seconds: int = 400  # then the guest counts as hanging
    weight: int = 60  # seconds that it takes, roughly
    mended: bool = False  # with the module that scripts/setup-lab has mended: see docs/interop.md
    damaged: set = dataclasses.field(default_factory=set)  # captures into which the case put bad digests: see watch.py

    def run(self, folder):
        lio = Lio(folder, self.seconds, self.mended)
        try:
            if lio.start():
                self.body(lio)
        finally:
            lio.finish()
        for path in (*folder.glob("data-*"), *folder.glob("back")):
            path.unlink()
        note = lio.guest.note or (f"the guest's case ended with {lio.guest.status}" if lio.guest.status else None)
        self.damaged = lio.damaged
        return lio.guest.results + lio.results, note


# ---- the cases ----

def basic(lio):
    plain = lio.url()
    lio.check("discover", lio.says, rf"^127\.0\.0\.1:{lio.port},1 {re.escape(IQN)}:plain$", "discover", f"127.0.0.1:{lio.port}")
    lio.check("ls", lio.says, r"64.*LIO-ORG", "ls", lio.url(lun=""))
    lio.check("inq", lio.says, "LIO-ORG", "inq", plain)
    lio.check("inq, every page", lio.says, "disk", "inq", plain, "--all")
    lio.check("capacity", lio.says, "131072", "capacity", plain)
    lio.check("ping", lio.says, "time=", "ping", plain, "--count", 3, "--interval", "10ms")
    lio.check("copy in, verify, copy out, compare", lio.there_and_back, size=16 << 20)
    # Raw CDBs: data in, data out, none, an error with sense.
    lio.check("raw INQUIRY", lio.says, "LIO-ORG", "scsi", plain, "120000002400", "--in", 36)
    lio.check("raw READ CAPACITY (16)", lio.says, "01 ff ff", "scsi", plain, "9e100000000000000000000000200000", "--in", 32)
    block = lio.data(512, 7)
    lio.check("raw WRITE (10)", lio.initiator, "scsi", plain, "2a000000000900000100", "--out", block)

    def read_back():
        out = lio.folder / "block"
        lio.initiator("read", plain, "--lba", 9, "--out", out)
        if out.read_bytes() != block.read_bytes():
            raise Failed("the block differs")

    lio.check("the block comes back", read_back)
    lio.check("raw SYNCHRONIZE CACHE", lio.initiator, "scsi", plain, "35000000000000000000")
    lio.check("raw READ beyond the end has its sense", lio.says, r"05/21/00", "scsi", plain, "28000fffffff00000100", "--in", 512,
              where="stderr", status=1)
    lio.check("raw unknown CDB has its sense", lio.says, r"05/20/00", "scsi", plain, "c10000000000", where="stderr", status=1)
    lio.check("LUN reset", lio.says, "complete|succeeded", "tmf", plain, "lun-reset")
    lio.check("a LUN that is not there", lio.initiator, "capacity", lio.url(lun="/9"), status=1)
    lio.check("a target that is not there", lio.initiator, "capacity", lio.url("nobody"), status=1)


def chap(lio):
    user = ["--user", "guest", "--secret", SECRET]
    both = [*user, "--mutual-user", "lio", "--mutual-secret", MUTUAL]
    one, two = lio.url("chap"), lio.url("mutual")
    # LIO just closes the connection, which could be anything: so it is tried again for a while.
    lio.check("login without CHAP is refused", lio.initiator, "capacity", one, "--replacement-timeout", "1s", status=1)
    lio.check("CHAP", lio.says, "131072", "capacity", one, *user)
    for algorithm in ("md5", "sha1,md5", "sha256,md5"):  # RFC 7143 wants 5 offered always
        lio.check(f"CHAP with {algorithm}", lio.says, "131072", "capacity", one, *user, "--chap-algorithms", algorithm)
    lio.check("CHAP, digests, copy and verify", lio.there_and_back, *user, "--header-digest", "crc32c", "--data-digest", "crc32c",
              name="chap")
    lio.check("CHAP on four connections", lio.there_and_back, *user, "--connections", 4, name="chap", seed=2)
    lio.check("a wrong secret", lio.says, "(?i)authentication", "capacity", one, "--user", "guest", "--secret", "wrong-secret-0001",
              where="stderr", status=1)
    lio.check("an unknown user", lio.says, "(?i)authentication", "capacity", one, "--user", "nobody", "--secret", SECRET,
              where="stderr", status=1)
    lio.check("mutual CHAP", lio.says, "131072", "capacity", two, *both)
    lio.check("mutual CHAP on four connections", lio.there_and_back, *both, "--connections", 4, name="mutual", seed=3)
    lio.check("a target that does not know its secret is refused", lio.initiator, "capacity", two, *user, "--mutual-user", "lio",
              "--mutual-secret", "wrong-target-0001", status=1)
    lio.check("a target that calls itself something else is refused", lio.initiator, "capacity", two, *user, "--mutual-user",
              "somebody", "--mutual-secret", MUTUAL, status=1)
    lio.check("the same secret both ways is refused", lio.initiator, "capacity", two, *user, "--mutual-user", "lio",
              "--mutual-secret", SECRET, status=2)
    lio.check("CHAP after all that", lio.says, "131072", "capacity", one, *user)


DIGESTS = {"no digests": [], "header digest": ["--header-digest", "crc32c"], "data digest": ["--data-digest", "crc32c"],
           "both digests": ["--header-digest", "crc32c", "--data-digest", "crc32c"]}
BURSTS = {
    "small bursts": ["--first-burst", "512", "--max-burst", "1024", "--max-recv", "512"],
    "uneven bursts": ["--first-burst", "4095", "--max-burst", "13337", "--max-recv", "1001"],
    "large bursts": ["--first-burst", "16777215", "--max-burst", "16777215", "--max-recv", "1M"],
    "nothing unasked": ["--initial-r2t", "yes", "--immediate-data", "no"],
    "unsolicited data": ["--initial-r2t", "no", "--immediate-data", "no", "--first-burst", "64K"],
    "immediate and unsolicited data": ["--initial-r2t", "no", "--immediate-data", "yes", "--first-burst", "64K"],
    "no key but the needed ones": ["--key", "MaxBurstLength", "--key", "FirstBurstLength", "--key", "DefaultTime2Wait"],
}


def matrix(lio):
    seed = 10
    for level in (0, 1, 2):
        for connections in (1, 4):
            for what, digests in DIGESTS.items():
                if what not in ("no digests", "both digests") and (level, connections) != (2, 4):
                    continue  # one digest alone: once is enough
                seed += 1
                lio.check(f"level {level}, {connections} connection{'s' * (connections > 1)}, {what}", lio.there_and_back,
                          "--recovery-level", level, "--connections", connections, *digests, seed=seed, size=2 << 20)
    for what, options in BURSTS.items():
        seed += 1
        small = 96 << 10 if what == "small bursts" else 1 << 20
        lio.check(what, lio.there_and_back, *options, seed=seed, size=small)
        lio.check(f"{what}, level 2, four connections", lio.there_and_back, *options, "--recovery-level", 2, "--connections", 4,
                  "--data-digest", "crc32c", seed=seed, size=small)
    lio.check("LIO grants level 2 and four connections", lio.says, r"ErrorRecoveryLevel=2 MaxConnections=4", "capacity", lio.url(),
              "--verbose", "--recovery-level", 2, "--connections", 4, where="stderr")


def damaged(lio, opcode, level, connections=1, every=3, times=3, last=False):
    """`last`: of Data-In, only the PDU that has the status too; else only the others."""
    flag, value = (0x01, int(last)) if opcode == 0x25 else (0, 0)
    relay = Damage(lio.port, opcode, every, times, flag, value)
    options = ["--recovery-level", level, "--connections", connections, "--header-digest", "none", "--data-digest", "crc32c",
               "--immediate-data", "yes" if opcode == 0x01 else "no", "--max-recv", "8K", "--verbose"]
    try:
        if opcode == 0x25:  # only what comes from LIO
            source = lio.data(1 << 20, 30)
            lio.initiator("copy", source, lio.url())
            done = lio.initiator("verify", lio.url(port=relay.port), source, *options)
            lio.damages()
        else:
            source = lio.data(4 << 20, 31 + opcode + 100 * level)
            done = lio.initiator("copy", source, lio.url(port=relay.port), *options)
            lio.initiator("verify", lio.url(), source)
        if relay.done != times:
            raise Failed(f"only {relay.done} PDUs were damaged")
        if level and not last and " sessions=1 " not in done.stderr:
            raise Failed("the session did not outlive it")
    finally:
        relay.close()


def damaged_sense(lio, level):
    """A response with sense whose digest is wrong: the status is asked for again."""
    relay = Damage(lio.port, 0x21, 1, 1)
    try:
        lio.says(r"05/20/00", "scsi", lio.url(port=relay.port), "c10000000000", "--recovery-level", level, "--data-digest", "crc32c",
                 where="stderr", status=1)
        lio.damages()
        if relay.done != 1:
            raise Failed("no response was damaged")
    finally:
        relay.close()


def snack(lio):
    for level in (1, 2):
        lio.check(f"level {level}: damaged Data-In is asked for again", damaged, lio, 0x25, level)
        lio.check(f"level {level}: damaged Data-In on four connections", damaged, lio, 0x25, level, 4)
        lio.check(f"level {level}: damaged Data-Out is asked for again", damaged, lio, 0x05, level)
        lio.check(f"level {level}: damaged immediate data goes again", damaged, lio, 0x01, level)
        lio.check(f"level {level}: a damaged status is asked for again", damaged_sense, lio, level)
    # LIO takes a SNACK for the last Data-In of a command for an error and closes the connection (docs/interop.md).
    lio.check("level 1: damaged last Data-In", damaged, lio, 0x25, 1, 1, 1, 1, True)
    lio.check("level 0: damaged Data-In", damaged, lio, 0x25, 0, 1, 3, 1)
    lio.check("level 0: damaged Data-Out", damaged, lio, 0x05, 0, 1, 3, 1)


def loss(lio):
    """Connections that break in mid-I/O, each time once per so many bytes."""
    def broken(level, connections, seed):
        proxy = CutProxy(lio.port, 600_001, cuts=3)
        try:
            source = lio.data(8 << 20, seed)
            lio.initiator("copy", source, lio.url(port=proxy.port), "--recovery-level", level, "--connections", connections,
                          "--depth", 8, "--verbose")
            lio.initiator("verify", lio.url(), source)
            if proxy.connections < 2:
                raise Failed("nothing was cut")
        finally:
            proxy.close()

    # Not level 0 or 1 with four connections: LIO panics when such a session is reinstated (docs/interop.md).
    for level, connections in ((0, 1), (1, 1), (2, 1), (2, 4)):
        lio.check(f"level {level}, {connections} connection{'s' * (connections > 1)}: cut in mid-copy", broken, level, connections,
                  50 + 10 * level + connections)

    def restarted():
        """The portal group goes away with all its sessions, and comes back."""
        tpg = f"/sys/kernel/config/target/iscsi/{IQN}:plain/tpgt_1/enable"
        source = lio.data(16 << 20, 90)
        results, proxy = [], CutProxy(lio.port)

        def copy():
            try:
                results.append(lio.initiator("copy", source, lio.url(port=proxy.port), "--depth", 4))
            except (Failed, subprocess.TimeoutExpired) as e:
                lio.log.write(f"FAILED: {e}\n")

        command = threading.Thread(target=copy)
        command.start()
        while command.is_alive() and not any(pair.passed > 1_000_000 for pair in proxy.pairs):
            time.sleep(0.01)  # in mid-copy
        lio.order(f"echo 0 > {tpg}")
        time.sleep(1)
        lio.order(f"echo 1 > {tpg}")
        command.join(100)
        proxy.close()
        if not results:
            raise Failed("the copy did not come through")
        lio.initiator("verify", lio.url(), source)

    lio.check("the target is taken away in mid-copy and comes back", restarted)
    lio.check("afterwards", lio.there_and_back, seed=91)


def storm(lio, level, connections, seconds, *options):
    """What the caller must never see: verified I/O while connections are cut at random."""
    proxy = CutProxy(lio.port)
    cuts = []

    def cutter():
        limit = time.monotonic() + 15
        while not proxy.live() and time.monotonic() < limit:
            time.sleep(0.02)
        cuts.append(proxy.cut_at_random(seconds - 1, seed=level * 10 + connections))

    thread = threading.Thread(target=cutter)
    thread.start()
    try:
        done = lio.run("lunette-bench", "--recover", "--connections", connections, "--recovery-level", level, "--depth", 32, "--size", "16K",
                       "--read", 50, "--duration", f"{seconds}s", *options, lio.url(port=proxy.port), timeout=seconds * 3 + 60)
    finally:
        thread.join()
        proxy.close()
    result = json.loads(done.stdout)
    lio.log.write(f"{cuts[0]} cuts\n")
    if result["errors"] or result["mismatches"] or result["commands"] < seconds or cuts[0] < 1:
        raise Failed(f"{result}, {cuts[0]} cuts")
    if level == 2 and connections > 1 and not result["recovered_connections"]:
        raise Failed(f"no connection was recovered: {result}")


def storms(lio):
    seconds = 60 if MINUTE else 20
    lio.check(f"level 2, four connections, cut at random for {seconds} s: no error and no wrong byte", storm, lio, 2, 4, seconds)
    lio.check("with digests", storm, lio, 2, 4, 6, "--header-digest", "--data-digest")
    # Level 1 or 0 with four connections: LIO's own reinstatement of such a session is an oops (docs/interop.md).
    lio.check("level 1, one connection", storm, lio, 1, 1, 6)
    lio.check("level 0, one connection", storm, lio, 0, 1, 6)


CASES = [
    LioCase("lio-basic", "our initiator and LIO: discover, ls, inq, copies, raw CDBs", basic),
    LioCase("lio-chap", "our initiator and LIO: CHAP and mutual CHAP, right and wrong secrets", chap),
    LioCase("lio-matrix", "our initiator and LIO: recovery levels, connections, digests, bursts", matrix),
    LioCase("lio-snack", "our initiator and LIO: damaged data, recovery by SNACK", snack),
    LioCase("lio-loss", "our initiator and LIO: connections lost in mid-I/O", loss, mended=True),
    LioCase("lio-storm", "our initiator and LIO: verified I/O while connections are cut at random (MINUTE=1: 60 s)", storms,
            mended=True),
]
