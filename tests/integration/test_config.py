"""Configuration in a state directory, before and during service (the target's management verbs).

Goal: the same verbs work with and without a running service, everything changes while I/O runs, bad input changes
nothing. Method: the real program on state directories of the test's own.
"""

import json
import os
import time

import pytest

import lunette

IQN = "iqn.2026-01.org.lunette:disk1"
IQN2 = "iqn.2026-01.org.lunette:disk2"


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def verb(state, *args, **kw):
    return lunette.target(*args, "--state", state, **kw)


def create(state, iqn=IQN, size="64M"):
    verb(state, "create", iqn, "--lun", "0", "--size", size)


def show(state, iqn=IQN):
    return json.loads(verb(state, "show", iqn, "--json").stdout)


def local_portal(state):
    verb(state, "portal", "add", "127.0.0.1:0")


def test_create_without_a_service_then_serve(state, service):
    create(state, size="10G")
    local_portal(state)
    shown = show(state)
    lun = shown["luns"][0]
    assert lun["lun"] == 0 and lun["size"] == 10 << 30
    target = service(state)
    target.iqn = IQN
    out = lunette.initiator("capacity", target.url()).stdout
    assert str(10 << 30) in out.replace(",", ""), out


def test_thin_file_takes_no_space(state):
    create(state, size="10G")
    used = sum(p.stat().st_blocks * 512 for p in state.rglob("*") if p.is_file())
    assert used < 1 << 20


@pytest.mark.parametrize("running", [False, True], ids=["offline", "online"])
def test_every_verb_before_and_during_service(state, service, tmp_path, running):
    create(state)
    local_portal(state)
    target = service(state) if running else None
    verb(state, "create", IQN2, "--lun", "0=memory:size=16M")
    assert IQN in verb(state, "list").stdout and IQN2 in verb(state, "list").stdout
    assert {t["name"] for t in json.loads(verb(state, "list", "--json").stdout)["targets"]} == {IQN, IQN2}
    verb(state, "lun", "add", IQN, f"3=file:{tmp_path / 'extra.img'},size=32M,block=4096", "--serial", "SER-42")
    verb(state, "lun", "resize", IQN, "3", "48M")
    luns = {lun["lun"]: lun for lun in show(state)["luns"]}
    assert luns[3]["size"] == 48 << 20 and luns[3]["serial"] == "SER-42" and luns[3]["block_size"] == 4096
    secret = tmp_path / "secret"
    secret.write_text("a secret of some length\n")
    verb(state, "user", "set", IQN, "alice", "--secret-file", secret)
    verb(state, "acl", "add", IQN, "--initiator", "iqn.2026-01.org.lunette:*")
    verb(state, "acl", "add", IQN, "--net", "127.0.0.0/8")
    text = verb(state, "show", IQN).stdout
    assert "alice" in text and "a secret of some length" not in text
    if running:
        target.iqn = IQN
        refused = lunette.initiator("capacity", target.url(), check=False)
        assert refused.returncode == 1
        login = ["--user", "alice", "--secret-file", secret]
        lunette.initiator("capacity", target.url(3), *login)
    verb(state, "user", "remove", IQN, "alice")
    verb(state, "lun", "remove", IQN, "3")
    assert [lun["lun"] for lun in show(state)["luns"]] == [0]
    if running:
        lunette.initiator("capacity", target.url())
        gone = lunette.initiator("capacity", target.url(3), check=False)
        assert gone.returncode == 1
    verb(state, "delete", IQN2)
    assert IQN2 not in verb(state, "list").stdout
    config = (state / "config.json").stat()
    assert config.st_mode & 0o077 == 0


def test_identity_is_minted_once_and_kept(state, service, tmp_path):
    create(state)
    local_portal(state)
    before = show(state)["luns"][0]
    assert before["serial"] and before["naa"]
    target = service(state)
    target.iqn = IQN
    out = lunette.initiator("inq", target.url(), "--vpd", "80").stdout
    assert before["serial"] in out
    out = lunette.initiator("inq", target.url(), "--vpd", "83").stdout
    assert before["naa"].lower() in out.lower().replace(" ", "")
    assert show(state)["luns"][0] == before


def test_acl_conditions_must_all_hold(state, service):
    create(state)
    local_portal(state)
    verb(state, "acl", "add", IQN, "--initiator", "iqn.2026-01.org.lunette:good*", "--net", "127.0.0.0/8")
    target = service(state)
    target.iqn = IQN
    good = ["--initiator-name", "iqn.2026-01.org.lunette:good-one"]
    bad = ["--initiator-name", "iqn.2026-01.org.lunette:bad-one"]
    lunette.initiator("capacity", target.url(), *good)
    assert lunette.initiator("capacity", target.url(), *bad, check=False).returncode == 1
    assert IQN in lunette.initiator("discover", target.portal, *good).stdout
    assert IQN not in lunette.initiator("discover", target.portal, *bad, check=False).stdout
    verb(state, "acl", "remove", IQN, "--initiator", "iqn.2026-01.org.lunette:good*", "--net", "127.0.0.0/8")
    verb(state, "acl", "add", IQN, "--initiator", "iqn.2026-01.org.lunette:good*", "--net", "10.0.0.0/8")
    assert lunette.initiator("capacity", target.url(), *good, check=False).returncode == 1, "the name alone admits nobody"


def test_discovery_chap(state, service, tmp_path):
    create(state)
    local_portal(state)
    secret = tmp_path / "secret"
    secret.write_text("discovery-secret")
    verb(state, "user", "set", "--discovery", "scout", "--secret-file", secret)
    target = service(state)
    refused = lunette.initiator("discover", target.portal, check=False)
    assert refused.returncode == 1 and IQN not in refused.stdout
    found = lunette.initiator("discover", target.portal, "--user", "scout", "--secret-file", secret).stdout
    assert IQN in found


def test_advertised_address_and_groups(state, service):
    create(state)
    verb(state, "portal", "add", "127.0.0.1:0", "--group", "1", "--advertise", "198.51.100.7:3260")
    verb(state, "portal", "add", "[::1]:0", "--group", "2")
    target = service(state, count=2)
    out = lunette.initiator("discover", target.portals[0]).stdout
    assert "198.51.100.7:3260,1" in out and "[::1]:" in out and ",2" in out


@pytest.mark.parametrize("bad", ["a b:1", "host:0", "host:65536", "host:3260,1", "2001:db8::1", ":3260", "host:"])
def test_bad_advertised_address_changes_nothing(state, bad):
    create(state)
    before = (state / "config.json").read_bytes()
    refused = verb(state, "portal", "add", "127.0.0.1:0", "--advertise", bad, check=False)
    assert refused.returncode == 2 and bad in refused.stderr
    assert (state / "config.json").read_bytes() == before


def test_wildcard_portal_answers_the_address_reached(state, service):
    create(state)
    verb(state, "portal", "add", "0.0.0.0:0")
    target = service(state)
    port = target.portal.rsplit(":", 1)[1]
    for address in ("127.0.0.1", "127.0.0.2"):
        out = lunette.initiator("discover", f"{address}:{port}").stdout
        assert f"{address}:{port}," in out, out


def test_lun_grows_under_a_running_session(state, service, tmp_path):
    create(state, size="16M")
    local_portal(state)
    target = service(state)
    target.iqn = IQN
    verb(state, "lun", "resize", IQN, "0", "32M")
    out = lunette.initiator("capacity", target.url()).stdout
    assert str(32 << 20) in out.replace(",", ""), out


def test_session_list_and_drop(state, service, programs, tmp_path):
    create(state)
    local_portal(state)
    target = service(state)
    target.iqn = IQN
    bench = lunette.Program(tmp_path, "bench", [lunette.BIN / "lunette-bench", "--recover", "--duration", "6s", target.url()])
    programs.append(bench)
    sessions = []
    for _ in range(100):
        sessions = json.loads(verb(state, "session", "list", "--json").stdout)
        sessions = sessions if isinstance(sessions, list) else sessions["sessions"]
        if sessions and sessions[0]["commands"] > 100:
            break
        time.sleep(0.05)
    assert sessions[0]["target"] == IQN
    verb(state, "session", "drop", str(sessions[0]["id"]))
    # The client notices, logs in again and re-issues: the user sees no error.
    assert bench.process.wait(60) == 0, bench.stderr()
    assert json.loads(bench.stdout())["reconnects"] == 1


def test_stop_says_how_many_sessions_it_closed(state, service, programs, tmp_path):
    create(state)
    local_portal(state)
    target = service(state)
    target.iqn = IQN
    bench = lunette.Program(tmp_path, "bench", [lunette.BIN / "lunette-bench", "--recover", "--sessions", "3", "--duration", "30s",
                                                target.url()])
    bench.expect_exit = None
    programs.append(bench)
    time.sleep(1.5)
    assert target.stop() == []
    assert target.process.returncode == 0
    assert "3 sessions" in target.stdout() + target.stderr()
    bench.process.kill()


BAD_VERBS = [
    (["create", "not-an-iqn", "--lun", "0", "--size", "1G"], "iqn"),
    (["create", IQN2, "--lun", "0", "--size", "1Q"], "size"),
    (["create", IQN2, "--lun", "0"], "size"),
    (["create", IQN, "--lun", "0", "--size", "1G"], "exist"),
    (["create", IQN2, "--lun", "99999", "--size", "1G"], "99999"),
    (["create"], "IQN"),
    (["frobnicate"], "frobnicate"),
    (["show", IQN2], IQN2),
    (["delete", IQN2], IQN2),
    (["lun", "add", IQN, "0=memory:size=1M"], "0"),
    (["lun", "add", IQN, "1=memory:"], "size"),
    (["lun", "add", IQN, "1=tape:/dev/st0"], "tape"),
    (["lun", "add", IQN, "1=file:/nonexistent/dir/file,size=1M"], "/nonexistent"),
    (["lun", "add", IQN, "1=memory:size=1M,block=777"], "block"),
    (["lun", "add", IQN, "1=memory:size=1M,colour=red"], "colour"),
    (["lun", "remove", IQN, "7"], "7"),
    (["lun", "resize", IQN, "0", "banana"], "banana"),
    (["portal", "add", "999.1.1.1:3260"], "999.1.1.1"),
    (["portal", "add", "127.0.0.1:99999"], "99999"),
    (["portal", "add", "127.0.0.1:3260", "--group", "0"], "group"),
    (["portal", "remove", "127.0.0.1:1"], "127.0.0.1:1"),
    (["user", "set", IQN, "bob", "--secret", "short"], "12"),
    (["user", "set", IQN, "bob"], "secret"),
    (["user", "set", IQN, "bob", "--secret-file", "/nonexistent"], "/nonexistent"),
    (["user", "set", IQN, "bob", "--secret", "long enough secret", "--mutual", "m", "--mutual-secret", "long enough secret"],
     "same"),
    (["user", "remove", IQN, "nobody"], "nobody"),
    (["acl", "add", IQN, "--net", "10.0.0.0/99"], "10.0.0.0/99"),
    (["acl", "add", IQN], "initiator"),
    (["acl", "remove", IQN, "--initiator", "iqn.none*"], "iqn.none*"),
    (["session", "drop", "x"], "x"),
    (["list", "--bogus"], "bogus"),
]


@pytest.mark.parametrize("args,word", BAD_VERBS, ids=[" ".join(a)[:60] for a, _ in BAD_VERBS])
def test_bad_input_is_one_sentence_and_changes_nothing(state, args, word):
    create(state)
    before = (state / "config.json").read_bytes()
    files = sorted(p.name for p in state.iterdir())
    done = verb(state, *args, check=False)
    assert done.returncode == 2, done
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and word.lower() in lines[0].lower(), done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert (state / "config.json").read_bytes() == before
    assert sorted(p.name for p in state.iterdir()) == files


@pytest.mark.parametrize("text,where", [
    ("{", "config.json:1"),
    ('{"schema_version": 1,\n "targets": [\n', "config.json:"),
    ('{"schema_version": 99}', "schema_version"),
    ('{"schema_version": 1, "tragets": []}', "tragets"),
    ('{"schema_version": 1, "targets": [{"name": "bad name"}]}', "name"),
])
def test_broken_config_is_refused_with_its_place(state, text, where):
    create(state)
    (state / "config.json").write_text(text)
    done = verb(state, "list", check=False)
    assert done.returncode != 0 and where in done.stderr, done.stderr
    assert (state / "config.json").read_text() == text
    done = lunette.target("serve", "--state", state, check=False, timeout=20)
    assert done.returncode != 0 and where in done.stderr, done.stderr


def test_a_second_service_on_the_same_state_is_refused(state, service):
    create(state)
    local_portal(state)
    service(state)
    done = lunette.target("serve", "--state", state, check=False, timeout=20)
    assert done.returncode != 0 and "in use" in done.stderr


def test_a_locked_file_is_refused_unless_shared(serve, tmp_path):
    image = tmp_path / "one.img"
    serve(f"file:{image},size=8M")
    done = lunette.target("serve", "--target", IQN2, "--lun", f"file:{image}", "--portal", "127.0.0.1:0", check=False,
                          timeout=20)
    assert done.returncode != 0 and str(image) in done.stderr and "in use" in done.stderr
    shared = tmp_path / "two.img"
    serve(f"file:{shared},size=8M,shared")
    serve(f"file:{shared},shared", iqn=IQN2)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_full_disk_answers_data_protect(serve, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    lunette.run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount)
    try:
        target = serve(f"file:{mount / 'thin.img'},size=64M")
        data = tmp_path / "data"
        data.write_bytes(os.urandom(8 << 20))
        done = lunette.initiator("write", target.url(), "--lba", "0", "--in", data, check=False)
        assert done.returncode == 1 and "27/07" in done.stderr, done.stderr
        lunette.initiator("read", target.url(), "--lba", "0", "--blocks", "8", "--out", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data.read_bytes()[:4096]
        assert target.stop() == []
    finally:
        lunette.run("umount", mount)
