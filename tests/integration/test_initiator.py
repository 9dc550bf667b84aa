"""lunette-initiator's verbs as a user types them, against our own target.

Goal: every verb does its work and says it clearly; a connection that is cut in mid-copy goes unnoticed; bad input is one
sentence. Method: the real programs; a proxy cuts connections after a chosen number of bytes.
"""

import json
import os
import re

import pytest

import lunette
from proxy import CutProxy

SECRET, MUTUAL = "the initiator's secret", "the target's own secret"


def test_discover_prints_address_tag_and_name(serve):
    target = serve()
    out = lunette.initiator("discover", target.portal).stdout
    assert out.strip() == f"{target.portal},1 {target.iqn}"


def test_ls_shows_luns_with_size_and_names(serve):
    target = serve("0=memory:size=64M", "7=null:size=2T")
    out = lunette.initiator("ls", f"iscsi://{target.portal}").stdout
    assert target.iqn in out and re.search(r"\b0\b.*64", out) and re.search(r"\b7\b.*2", out) and "LUNETTE" in out, out


def test_inq_decodes_standard_data_and_every_page(serve):
    target = serve("memory:size=64M,block=4096")
    out = lunette.initiator("inq", target.url()).stdout
    assert "LUNETTE" in out
    out = lunette.initiator("inq", target.url(), "--all").stdout.lower()
    for word in ("serial", "naa", "block limits", "provisioning", "rotation"):
        assert word in out, (word, out)


@pytest.mark.parametrize("spec,blocks,block", [("memory:size=1M", 2048, 512), ("null:size=64T,block=4096", 1 << 34, 4096)])
def test_capacity(serve, spec, blocks, block):
    target = serve(spec)
    out = lunette.initiator("capacity", target.url()).stdout
    assert str(blocks) in out and str(block) in out, out


def test_write_then_read(serve, tmp_path):
    target = serve("memory:size=8M")
    data = tmp_path / "data"
    data.write_bytes(os.urandom(3 * 1024 * 1024))
    lunette.initiator("write", target.url(), "--lba", "100", "--in", data, "--fua")
    back = tmp_path / "back"
    lunette.initiator("read", target.url(), "--lba", "100", "--blocks", str(3 * 2048), "--out", back)
    assert back.read_bytes() == data.read_bytes()
    piped = lunette.initiator("read", target.url(), "--lba", "100", "--blocks", "1", "--out", "-", text=False)
    assert piped.stdout == data.read_bytes()[:512]


def test_ping(serve):
    target = serve()
    out = lunette.initiator("ping", target.url(), "--count", "3").stdout
    assert len(re.findall(r"time|ms|us|µs", out)) >= 3, out


def test_raw_cdb_prints_data_and_sense(serve):
    target = serve()
    out = lunette.initiator("scsi", target.url(), "120000002400", "--in", "36").stdout
    assert "4c 55 4e 45 54 54 45" in out.lower() or "4c554e45545445" in out.lower(), out
    bad = lunette.initiator("scsi", target.url(), "c0" + "00" * 9, check=False)
    assert bad.returncode == 1 and "20/00" in bad.stdout + bad.stderr


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha3-256"])
def test_chap_one_way_and_mutual(programs, service, tmp_path, algorithm):
    state = tmp_path / "state"
    secret, mutual = tmp_path / "s", tmp_path / "m"
    secret.write_text(SECRET)
    mutual.write_text(MUTUAL)
    lunette.target("create", lunette.IQN, "--lun", "0=memory:size=8M", "--state", state)
    lunette.target("portal", "add", "127.0.0.1:0", "--state", state)
    lunette.target("user", "set", lunette.IQN, "alice", "--secret-file", secret, "--mutual", "disk",
                   "--mutual-secret-file", mutual, "--state", state)
    target = service(state)
    one_way = ["--user", "alice", "--secret-file", secret, "--chap-algorithms", algorithm]
    both = [*one_way, "--mutual-user", "disk", "--mutual-secret-file", mutual]
    lunette.initiator("capacity", target.url(), *one_way)
    lunette.initiator("capacity", target.url(), *both)
    for name, wrong in (("no secret", []), ("other user", ["--user", "bob", "--secret-file", secret]),
                        ("wrong secret", ["--user", "alice", "--secret-file", mutual]),
                        ("wrong mutual secret", [*one_way, "--mutual-user", "disk", "--mutual-secret-file", __file__])):
        done = lunette.initiator("capacity", target.url(), *wrong, check=False)
        assert done.returncode == 1 or name == "wrong mutual secret" and done.returncode == 2, (name, done)
        assert SECRET not in done.stderr and MUTUAL not in done.stderr
    by_env = lunette.initiator("capacity", target.url(user="alice"), env={"LUNETTE_CHAP_SECRET": SECRET})
    assert by_env.returncode == 0
    by_url = lunette.initiator("capacity", target.url(user="alice%the%20initiator's%20secret"))
    assert by_url.returncode == 0


@pytest.mark.parametrize("cut_after", [100, 5_000, 300_001, 1_000_000, 7_654_321])
def test_copy_survives_cut_connections(serve, tmp_path, cut_after):
    """A cut at any byte, several times, is invisible: same bytes in and out, exit 0."""
    target = serve("memory:size=32M")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(32 * 1024 * 1024))
    proxy = CutProxy(target.port, cut_after, cuts=4)
    url = target.url(portal=f"127.0.0.1:{proxy.port}")
    lunette.initiator("copy", source, url)
    assert proxy.connections >= 5
    assert lunette.initiator("verify", target.url(), source).returncode == 0
    proxy_back = CutProxy(target.port, cut_after, cuts=4)
    back = tmp_path / "back"
    lunette.initiator("copy", target.url(portal=f"127.0.0.1:{proxy_back.port}"), back)
    assert lunette.same_bytes(source, back)
    proxy.close()
    proxy_back.close()


def test_a_target_that_stays_away_is_reported(serve, tmp_path):
    target = serve("memory:size=32M")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(32 * 1024 * 1024))
    proxy = CutProxy(target.port, 1_000_000, cuts=1000)
    done = lunette.initiator("copy", source, target.url(portal=f"127.0.0.1:{proxy.port}"), "--replacement-timeout", "2s",
                             check=False, timeout=200)
    proxy.close()
    # Each connection carries 1 MB, so the copy advances; what counts is that it either ends right or says why.
    if done.returncode == 0:
        lunette.initiator("verify", target.url(), source)
    else:
        assert done.returncode == 1 and done.stderr.strip()


def test_refused_connection_is_one_sentence():
    done = lunette.initiator("discover", "127.0.0.1:1", check=False)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1 and "refused" in done.stderr


BAD = [
    ([], "usage"),
    (["frobnicate"], "frobnicate"),
    (["discover"], "host"),
    (["inq", "http://127.0.0.1/"], "iscsi://"),
    (["inq", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/notalun"], "notalun"),
    (["inq", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/99999"], "99999"),
    (["inq", "iscsi://127.0.0.1:99999/iqn.2026-01.org.lunette:x/0"], "99999"),
    (["inq", "iscsi://127.0.0.1/not-a-name/0"], "not-a-name"),
    (["inq", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--vpd", "zz"], "zz"),
    (["read", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--lba", "-1"], "-1"),
    (["read", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--blocks", "many"], "many"),
    (["scsi", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "12xy"], "12xy"),
    (["scsi", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "123"], "123"),
    (["copy", "/nonexistent", "/tmp/x"], "/nonexistent"),
    (["copy", "one"], "copy"),
    (["capacity", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--depth", "0"], "depth"),
    (["capacity", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--io", "kqueue"], "kqueue"),
    (["capacity", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--secret-file", "/nonexistent"], "/nonexistent"),
    (["capacity", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--initiator-name", "me"], "me"),
    (["capacity", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--header-digest", "md5"], "md5"),
    (["capacity", "iscsi://127.0.0.1/iqn.2026-01.org.lunette:x/0", "--bogus"], "bogus"),
]


@pytest.mark.parametrize("args,word", BAD, ids=[" ".join(a)[:70] or "nothing" for a, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_2(args, word, tmp_path):
    done = lunette.initiator(*args, check=False, timeout=20)
    assert done.returncode == 2, done
    assert word.lower() in done.stderr.lower(), done.stderr
    if args:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_json_of_discover_is_valid(serve):
    target = serve()
    data = json.loads(lunette.initiator("discover", target.portal, "--json").stdout)
    assert target.iqn in json.dumps(data)
