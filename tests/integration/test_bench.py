"""lunette-bench itself: what it measures is what happened, what it verifies it verifies, and wrong use is told.

Goal: options, the shape of the JSON, verification that sees corruption, rate limit, compare, HTML that is well formed,
logins and idle sessions; also against Debian's targets. Method: short runs; nothing here asserts a speed. CHAP, redirects
and digests go through the same initiator engine as everywhere, so one case of each is enough.
"""

import datetime
import json
import os
import threading
import time
import xml.dom.minidom

import pytest

import lunette
from test_peers import start_istgt, start_tgt

BENCH = lunette.BIN / "lunette-bench"
IQN = lunette.IQN


def bench(*args, check=True, **kw):
    return lunette.run(BENCH, *args, check=check, **kw)


def figures(*args):
    return json.loads(bench("--json", "-", *args).stdout)


def test_json_tells_what_was_done(serve):
    target = serve("memory:size=64M")
    r = figures("--commands", 5000, "--size", "4K:3,16K:1", "--mix", "read=50,write=40,unmap=10", "--sessions", 2, "--depth", 8,
                "--title", 'a "b" <c>', "--target-pid", target.process.pid, target.url())
    assert r["commands"] == r["reads"] + r["writes"] + r["unmaps"] == 5000
    assert abs(r["reads"] - 2500) < 300 and abs(r["unmaps"] - 500) < 150, r
    assert r["errors"] == r["mismatches"] == 0 and r["title"] == 'a "b" <c>'
    assert r["options"]["sessions"] == 2 and r["options"]["size"] == "4K:3,16K:1" and r["lun"]["bytes"] == 64 << 20
    assert sum(count for _, count in r["histogram"]) == 5000
    latency = r["latency_us"]
    names = ["min", "p50", "p90", "p99", "p99.9", "p99.99", "max"]
    assert [latency[n] for n in names] == sorted(latency[n] for n in names) and latency["min"] > 0
    assert r["iops"] == pytest.approx(5000 / r["seconds"], rel=0.01)
    for side in ("client", "target"):
        assert r[side]["cpu_seconds"] >= 0 and r[side]["voluntary_switches"] >= 0 and r[side]["threads"] >= 1
    assert "secret" not in json.dumps(r)


def test_samples_cover_the_duration(serve):
    r = figures("--duration", "600ms", "--warmup", "100ms", serve().url())
    assert 0.55 < r["seconds"] < 3 * lunette.SLOW
    total = sum(r["samples"]["commands"])
    assert 0.5 * r["commands"] <= total <= r["commands"]


@pytest.mark.parametrize("size", ["4K", "64K", "1M", "300K"])
@pytest.mark.parametrize("keys", [[], ["--header-digest", "--data-digest"], ["--initial-r2t", "yes", "--immediate-data", "no"],
                                  ["--max-recv", "8K", "--first-burst", "8K", "--max-burst", "64K"],
                                  ["--connections", "3"]], ids=["plain", "digests", "r2t", "small", "connections"])
def test_every_way_of_moving_data_is_verified(serve, size, keys):
    """On a small LUN, so that reads meet what was written: half of the commands write."""
    target = serve({"4K": "memory:size=128K", "64K": "memory:size=2M"}.get(size, "memory:size=16M"))
    commands = 3000 if size == "4K" else 300
    r = figures("--verify", "--size", size, "--read", 50, "--depth", 8, "--commands", commands, *keys, target.url())
    assert r["errors"] == r["mismatches"] == 0 and r["commands"] == commands
    digest = "CRC32C" if "--data-digest" in keys else "None"
    assert r["negotiated"]["data_digest"] == r["negotiated"]["header_digest"] == digest
    assert r["negotiated"]["connections"] == (3 if "--connections" in keys else 1)


def test_small_windows_are_honoured(serve):
    target = serve("memory:size=4M", options=["--command-window", "4", "--max-recv", "4K", "--max-outstanding-r2t", "1"])
    r = figures("--verify", "--read", 50, "--size", "32K", "--depth", 64, "--commands", 1000, target.url())
    assert r["errors"] == r["mismatches"] == 0 and r["commands"] == 1000


def test_verify_sees_a_changed_file(serve, tmp_path):
    """Somebody else writes into the store's file while the bench runs."""
    image = tmp_path / "disk.img"
    target = serve(f"file:{image},size=4M")
    stop = threading.Event()

    def corrupt():
        with open(image, "r+b", buffering=0) as out:
            while not stop.wait(0.2):
                for at in range(0, 4 << 20, 4096):
                    out.seek(at + 2048)
                    out.write(b"corrupted")

    thread = threading.Thread(target=corrupt)
    thread.start()
    try:
        done = bench("--verify", "--read", 50, "--duration", "20s", "--json", "-", target.url(), check=False)
    finally:
        stop.set()
        thread.join()
    assert done.returncode == 1
    r = json.loads(done.stdout)
    assert r["mismatches"] >= 1 and r["seconds"] < 19
    assert "expected writer 1" in r["first_problem"] and "expected writer 1" in done.stderr


def test_verify_sees_a_second_writer(serve):
    """Two of them disturb each other. The one that sees it first ends, and may leave the other undisturbed."""
    target = serve("memory:size=1M")
    ends = []

    def run(*options):
        ends.append(bench("--verify", "--read", "50", *options, "--duration", "4s", target.url(), check=False))

    other = threading.Thread(target=run, args=("--seed", "5"))
    other.start()
    run("--part", "0/1")
    other.join()
    seen = [done for done in ends if done.returncode == 1]
    assert len(ends) == 2 and seen, ends
    assert all("first problem" in done.stderr and "expected writer" in done.stderr for done in seen), seen


def test_rate_is_kept(serve):
    url, seen = serve().url(), []
    for _ in range(5):  # never more; less only while the machine itself stands still, which is not for long
        seen.append(figures("--rate", 500, "--duration", "2s", "--sessions", 2, url)["commands"])
        assert seen[-1] <= 1010
        if seen[-1] >= 900:
            return
    assert lunette.SLOW > 1, seen


def test_latency_counts_from_when_a_command_was_due(serve, tmp_path):
    """A target that stands still: the commands that should have gone meanwhile are late, and say so."""
    import signal
    target = serve()
    run = lunette.Program(tmp_path, "bench", [BENCH, "--rate", "200", "--depth", "1", "--duration", "3s", "--json", "-", target.url()])
    time.sleep(1.5)
    target.process.send_signal(signal.SIGSTOP)
    time.sleep(0.7)
    target.process.send_signal(signal.SIGCONT)
    assert run.process.wait(60) == 0, run.stderr()
    r = json.loads(run.stdout())
    assert r["latency_us"]["max"] > 500_000
    assert r["latency_us"]["p90"] > 50_000, "coordinated omission"


@pytest.mark.parametrize("poll", ["never", "adaptive", "always"])
@pytest.mark.parametrize("sessions", [1, 3])
def test_polling_changes_nothing_but_time(serve, poll, sessions):
    r = figures("--poll", poll, "--verify", "--read", 50, "--sessions", sessions, "--depth", 4, "--commands", 600, serve().url())
    assert r["errors"] == r["mismatches"] == 0 and r["commands"] == 600 and r["options"]["poll"] == poll


def test_pings_are_answered(serve):
    target = serve(options=["--nop-interval", "300ms", "--nop-timeout", "1s"])
    r = figures("--rate", 1, "--duration", "3s", target.url())
    assert r["pings"] >= 1 and r["errors"] == 0
    held = figures("--idle", 5, "--hold", "2s", target.url())
    assert held["opened"] == 5 and held["lost"] == 0 and held["pings"] >= 5


def test_html_stands_alone_and_is_well_formed(serve, tmp_path):
    page, data = tmp_path / "report.html", tmp_path / "report.json"
    done = bench("--duration", "500ms", "--html", page, "--json", data, "--title", "<b> & \"c\"", serve().url())
    assert "commands/s" in done.stdout
    text = page.read_text()
    document = xml.dom.minidom.parseString(text.split("\n", 1)[1])
    plots = document.getElementsByTagName("svg")
    assert len(plots) == 3 and all(p.getElementsByTagName("polyline") or p.getElementsByTagName("rect") for p in plots)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), "it must fetch nothing"
    assert "&lt;b&gt; &amp; &quot;c&quot;" in text
    report = json.loads(data.read_text())
    assert report["commands"] > 0
    ended = datetime.datetime.fromisoformat(report["ended"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - ended).total_seconds()) < 60
    assert f"lunette-bench {report['version']}, {report['ended'][:10]}" in text
    labels = [t.firstChild.data for t in plots[2].getElementsByTagName("text") if t.getAttribute("text-anchor") == "middle"]
    assert labels[0] == "0" and labels[-1] == "100" and len(set(labels)) == len(labels)


def test_compare_prints_both_and_the_change(tmp_path):
    def write(name, iops, p50):
        path = tmp_path / name
        path.write_text(json.dumps({"program": "lunette-bench", "iops": iops, "latency_us": {"p50": p50}, "errors": 0}))
        return path

    a, b = write("a.json", 1000, 10), write("b.json", 1500, 12.5)
    out = bench("--compare", a, b).stdout
    assert "+50.0 %  better" in out and "+25.0 %  worse" in out
    (tmp_path / "c.json").write_text("{}")
    refused = bench("--compare", a, tmp_path / "c.json", check=False)
    assert refused.returncode == 1 and "no result of lunette-bench" in refused.stderr
    assert bench("--compare", a, tmp_path / "none.json", check=False).returncode == 1


def test_logins_are_counted(serve):
    target = serve()
    r = figures("--logins", "--parallel", 4, "--duration", "1s", "--target-pid", target.process.pid, target.url())
    assert r["mode"] == "logins" and r["logins"] > 10 and r["errors"] == 0
    assert r["logins_per_second"] == pytest.approx(r["logins"] / r["seconds"], rel=0.01)


def test_idle_sessions_are_held(serve, tmp_path):
    target = serve()
    run = lunette.Program(tmp_path, "bench", [BENCH, "--idle", "50", "--hold", "1500ms", "--json", "-", "--target-pid",
                                              str(target.process.pid), target.url()])
    assert run.process.wait(60) == 0, run.stderr()
    r = json.loads(run.stdout())
    assert r["opened"] == 50 and r["lost"] == 0 and r["held_seconds"] >= 1.5 and "bytes_per_connection" in r


def test_chap(serve, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("alicesecret123\n")
    target = serve(options=["--user", "alice", "--secret-file", secret])
    for auth in (["--user", "alice", "--secret-file", secret, target.url()],
                 ["--secret-file", secret, target.url(user="alice")]):
        assert figures("--commands", 100, *auth)["commands"] == 100
    assert figures("--commands", 100, "--sessions", 2, target.url(user="alice%alicesecret123"))["errors"] == 0
    secret.write_text("not the secret")
    refused = bench("--commands", 100, "--secret-file", secret, target.url(user="alice"), check=False)
    assert refused.returncode == 1 and "authentication" in refused.stderr.lower()
    assert bench("--commands", 100, target.url(user="alice"), check=False).returncode == 2


@pytest.mark.parametrize("args, words", [
    (["--depth", "0"], "--depth is a number from 1"),
    (["--size", "1000"], "multiples of 512"),
    (["--size", "32M"], "up to 16M"),
    (["--mix", "read=50,write=40"], "adds up to 100"),
    (["--poll", "sometimes"], "never, adaptive or always"),
    (["--rate"], "--rate needs a value"),
    (["--frobnicate"], 'there is no option "--frobnicate"'),
    (["--duration", "soon"], "a time such as 30s"),
    (["--target-pid", "4194303"], "no process"),
    (["--verify", "--size", "4K,6K"], "divide one another"),
    (["--recover", "--logins"], "exclude each other"),
    (["--logins", "--html", "x"], "for the load only"),
    (["--no-verify"], "for --recover"),
    (["--first-burst", "1M", "--max-burst", "64K"], "is more than --max-burst"),
    (["--connections", "8", "--depth", "4"], "at least as much --depth"),
    (["iscsi://x/y/0"], "there is one URL"),
    (["--part", "2/2"], "K below N"),
    (["--secret", ""], "a secret has"),
])
def test_wrong_use_is_told(args, words):
    done = bench(*args, "iscsi://127.0.0.1:1/iqn.2026-01.org.lunette:none/0", check=False)
    if args == ["--rate"]:
        done = bench("iscsi://127.0.0.1:1/iqn.2026-01.org.lunette:none/0", *args, check=False)
    assert done.returncode == 2 and words in done.stderr and not done.stdout, done.stderr


def test_no_url_no_target_no_lun(serve):
    target = serve("memory:size=64M")
    assert bench(check=False).returncode == 2
    assert bench("http://x/y", check=False).returncode == 2
    for url, words in ((f"iscsi://127.0.0.1:1/{IQN}/0", "cannot connect"), (target.url().replace(IQN, IQN + "x"), "no target"),
                       (target.url(9), "no logical unit")):
        done = bench("--commands", 10, url, check=False)
        assert done.returncode == 1 and words in done.stderr, done.stderr
    small = bench("--verify", "--sessions", 64, "--depth", 512, "--commands", 10, target.url(), check=False)
    assert small.returncode == 1 and "too small" in small.stderr
    help_text = bench("--help").stdout
    assert "--target-pid" in help_text and "Exit status" in help_text


def test_a_dying_target_ends_the_run(serve, tmp_path):
    target = serve()
    target.expect_exit = None
    run = lunette.Program(tmp_path, "bench", [BENCH, "--duration", "30s", target.url()])
    time.sleep(1)
    target.process.kill()
    assert run.process.wait(30) == 1
    assert "connection broke" in run.stderr()


def test_write_errors_of_reports_are_told(serve):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    done = bench("--commands", 10, "--json", "/dev/full", serve().url(), check=False)
    assert done.returncode == 1 and "cannot write /dev/full" in done.stderr


@pytest.mark.parametrize("start", [start_tgt, start_istgt], ids=["tgt", "istgt"])
def test_other_targets(programs, tmp_path, start):
    disk = tmp_path / "disk.img"
    with open(disk, "wb") as out:
        out.truncate(64 * 1024 * 1024)
    port, lun = start(programs, tmp_path, disk, False, False)
    url = f"iscsi://127.0.0.1:{port}/{IQN.rsplit(':', 1)[0]}:peer/{lun}"
    for size in ("4K", "256K"):
        r = figures("--verify", "--read", 50, "--size", size, "--depth", 8, "--commands", 500, url)
        assert r["errors"] == r["mismatches"] == 0 and r["commands"] == 500
    assert figures("--commands", 300, "--sessions", 3, url)["errors"] == 0
