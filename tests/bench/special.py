"""Rows that are no plain load: tails at half rate, logins, idle sessions, start, copy. Each is a function of (folder,
rounds, seconds) that returns {contender: {figure: [one value of each round]}} and has `goal` text and a `verdict` of the
medians."""

import json
import os
import resource
import socket
import statistics
import subprocess
import time

import servers
from rows import Load
from servers import BIN, CEILING, CLIENT_CORE, IQN, SIZE, TARGET_CORE, Ceiling, Lunette, figures, pinned

SPECIAL = {}


def special(name, goal, verdict):
    def enter(function):
        function.goal, function.verdict = goal, verdict
        SPECIAL[name] = function
        return function
    return enter


def collect(into, name, values):
    for key, value in values.items():
        into.setdefault(name, {}).setdefault(key, []).append(value)


def middle(result, who, figure):
    values = result.get(who, {}).get(figure)
    return statistics.median(values) if values else None


def tails(result):
    mine, bare = (middle(result, who, "ratio") for who in ("lunette", "ceiling"))
    if mine is None or bare is None:
        return "not measured"
    if bare > 2:
        return f"does not count: the ceiling's own is {bare:.1f}"
    return "met" if mine <= 3 else f"missed: {mine:.1f}"


@special("tail-half-rate", "p99.9 at most 3 times p50 at half of the highest rate, where the ceiling's own is at most 2 times", tails)
def half_rate(folder, rounds, seconds):
    """The p99.9 at half of what each can do at depth 32."""
    result, full = {}, Load()
    for _ in range(rounds):
        for name, kind in (("ceiling", Ceiling), ("lunette", Lunette)):
            with kind(folder, full) as server:
                most = server.measure(full, seconds, 0.5)["iops"]
                half = server.measure(Load(rate=int(most / 2)), seconds, 0.5)
            collect(result, name, {"most": most, "iops": half["iops"], "p50": half["p50"], "p99.9": half["p99.9"],
                                   "ratio": half["p99.9"] / half["p50"]})
    return result


def at_least(who, figure, least):
    def judge(result):
        value = middle(result, who, figure)
        return "not measured" if value is None else "met" if value >= least else f"missed: {value:.4g}"
    return judge


def at_most(who, figure, most):
    def judge(result):
        value = middle(result, who, figure)
        return "not measured" if value is None else "met" if value <= most else f"missed: {value:.4g}"
    return judge


def bench_args(server, *more):
    return [BIN / "lunette-bench", "--cpu", CLIENT_CORE, "--target-pid", server.process.pid, *more, server.url]


@special("logins", "at least 5,000 sessions/s on one core, no CHAP", at_least("lunette", "iops", 5000))
def logins(folder, rounds, seconds):
    result = {}
    for _ in range(rounds):
        for name, kind in (("lunette", Lunette), ("tgt", servers.Tgt)):
            try:
                with kind(folder, Load()) as server:
                    collect(result, name, figures(bench_args(server, "--logins", "--watch-cpu", TARGET_CORE, "--json", "-",
                                                             "--duration", f"{seconds}s")))
            except (servers.Missing, RuntimeError) as why:
                result.setdefault(name, {})["problem"] = [str(why)[-300:]]
    return result


def many_files():
    """Raises our limit of open files, which children inherit, to what is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


ROOMY = ["--connections-max", "20000", "--logins-per-address", "1000"]


IDLE = int(os.environ.get("IDLE", "10000"))


def idle_count():
    return min(IDLE, many_files() - 200)


@special("idle", "10,000 idle sessions: at most 4 KiB of the target's memory each", at_most("lunette", "bytes_each", 4096))
def idle(folder, rounds, seconds):
    """One round is enough: memory does not vary."""
    result, count = {}, idle_count()
    with Lunette(folder, Load(), options=ROOMY) as server:
        done = subprocess.run([str(a) for a in bench_args(server, "--idle", count, "--hold", "2s", "--json", "-")],
                              capture_output=True, text=True, timeout=600)
        if done.returncode:
            return {"lunette": {"problem": [done.stderr[-300:]]}}
        r = json.loads(done.stdout)
        collect(result, "lunette", {"sessions": r["opened"], "bytes_each": r["bytes_per_connection"],
                                    "cpu_seconds_held": r["target"]["cpu_seconds"]})
    return result


def loses_little(result):
    alone, beside = middle(result, "lunette", "alone"), middle(result, "lunette", "beside")
    if not alone or not beside:
        return "not measured"
    return "met" if beside >= 0.95 * alone else f"missed: {(1 - beside / alone) * 100:.1f} % lost"


@special("busy-beside-idle", "a busy session beside 10,000 idle ones loses less than 5 %", loses_little)
def busy_beside_idle(folder, rounds, seconds):
    result, load, count = {}, Load(), idle_count()
    for _ in range(rounds):
        with Lunette(folder, load, options=ROOMY) as server:
            alone = server.measure(load, seconds, 0.5)
            crowd = subprocess.Popen([str(a) for a in bench_args(server, "--idle", count, "--hold", f"{seconds + 4}s")],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            line = crowd.stderr.readline()
            if f"{count} idle" not in line:
                crowd.kill()
                crowd.wait()
                return {"lunette": {"problem": [line]}}
            beside = server.measure(load, seconds, 0.5)
            crowd.terminate()
            crowd.communicate()
        collect(result, "lunette", {"alone": alone["iops"], "beside": beside["iops"]})
    return result


def write_config(state, targets, luns):
    """A configuration as the service itself would have written it."""
    def lun(t, n):
        serial = f"{t * luns + n:020x}"
        return {"lun": n, "naa": "6024c4e" + f"{t * luns + n:025x}", "serial": serial, "spec": "memory:size=16M"}
    config = {"schema_version": 1,
              "targets": [{"name": f"{IQN}{t}", "luns": [lun(t, n) for n in range(luns)], "users": [], "acls": [], "redirects": []}
                          for t in range(targets)],
              "portals": [{"address": "127.0.0.1:0", "group": 1}], "discovery_users": [], "initiators": []}
    config["portals"][0]["address"] = f"127.0.0.1:{servers.free_port()}"
    state.mkdir(mode=0o700)
    (state / "config.json").write_text(json.dumps(config))
    os.chmod(state / "config.json", 0o600)


@special("start", "serve with 1,000 targets of 4 LUNs listens within 0.3 s", at_most("lunette", "seconds", 0.3))
def start(folder, rounds, seconds):
    result = {}
    for n in range(rounds):
        state = folder / f"start{n}"
        write_config(state, 1000, 4)
        with open(folder / "start.log", "wb") as log:
            begin = time.monotonic()
            process = subprocess.Popen([str(BIN / "lunette-target"), "serve", "--state", str(state), "--reactors", "1"],
                                       stdout=subprocess.PIPE, stderr=log, preexec_fn=pinned(TARGET_CORE))
            line = process.stdout.readline()
            took = time.monotonic() - begin
        process.kill()
        process.wait()
        if not line.startswith(b"listening"):
            return {"lunette": {"problem": [(folder / "start.log").read_text(errors="replace")[-300:]]}}
        collect(result, "lunette", {"seconds": took})
    return result


def copy_goal(result):
    bare = [middle(result, "ceiling-copy", figure) for figure in ("to_mb", "from_mb")]
    mine = [middle(result, "initiator", figure) for figure in ("to_mb", "from_mb")]
    if not all(bare + mine):
        return "not measured"
    to, back = (m / b for m, b in zip(mine, bare))
    return f"{'met' if min(to, back) >= 0.85 else 'missed'}: to {to:.2f}, from {back:.2f}"


COPY = 1 << 30


def write_random(path):
    with open(path, "wb") as out:
        for _ in range(COPY >> 20):
            out.write(os.urandom(1 << 20))


@special("copy", "the initiator's copy of 1 GiB from and to memory: at least 0.85 of the ceiling's bytes/s, whose client reads "
         "and writes the same file", copy_goal)
def copy(folder, rounds, seconds):
    """The other end is a file in /dev/shm, which is memory. `ceiling` has no file: what the network alone does."""
    result, load = {}, Load(len=1 << 20, depth=32)
    local = "/dev/shm/lunette-bench.copy"

    def timed(*args):
        begin = time.monotonic()
        done = subprocess.run([str(a) for a in (BIN / "lunette-initiator", "copy", *args)], capture_output=True, text=True,
                              preexec_fn=pinned(CLIENT_CORE), timeout=300)
        if done.returncode:
            raise RuntimeError(f"copy: {done.stderr[-300:]}")
        return COPY / (time.monotonic() - begin) / 1e6

    try:
        write_random(local)
        for _ in range(rounds):
            for name, file in (("ceiling", None), ("ceiling-copy", local)):
                with Ceiling(folder, load, copy=file, size=COPY) as server:
                    to = server.measure(Load(len=1 << 20, depth=32, write=True), seconds, 0.5)["mb"]
                    back = server.measure(load, seconds, 0.5)["mb"]
                    collect(result, name, {"to_mb": to, "from_mb": back})
            write_random(local)
            with Gigabyte(folder, load) as server:
                to = timed(local, server.url)
                back = timed(server.url, local)
                collect(result, "initiator", {"to_mb": to, "from_mb": back})
    finally:
        if os.path.exists(local):
            os.unlink(local)
    return result


class Gigabyte(Lunette):
    def spec(self):
        return f"memory:size={COPY}"
