"""The bundled initiator against Debian's other targets (what must be seen 4): tgt and istgt.

Goal: discover, ls, inq, CHAP one-way and mutual, copy in and out, verify, raw CDBs, reconnect after a cut and after a restart
of the target. Method: the peers run from build/peers (peers.py); connections go through a proxy that cuts them.
"""

import os

import pytest

import lunette
from peers import IQN, MUTUAL_SECRET, MUTUAL_USER, SECRET, USER, start_istgt, start_tgt
from proxy import CutProxy


@pytest.mark.parametrize("chap", ["none", "chap", "mutual"])
@pytest.mark.parametrize("start", [start_tgt, start_istgt], ids=["tgt", "istgt"])
def test_initiator_uses_the_peer(programs, tmp_path, start, chap):
    disk = tmp_path / "disk.img"
    with open(disk, "wb") as out:
        out.truncate(64 * 1024 * 1024)
    port, lun = start(programs, tmp_path, disk, chap != "none", chap == "mutual")
    auth = []
    if chap != "none":
        (tmp_path / "secret").write_text(SECRET)
        auth += ["--user", USER, "--secret-file", tmp_path / "secret"]
    if chap == "mutual":
        (tmp_path / "mutual").write_text(MUTUAL_SECRET)
        auth += ["--mutual-user", MUTUAL_USER, "--mutual-secret-file", tmp_path / "mutual"]
    found = lunette.initiator("discover", f"127.0.0.1:{port}").stdout
    assert IQN in found, found
    url = f"iscsi://127.0.0.1:{port}/{IQN}/{lun}"
    listing = lunette.initiator("ls", f"iscsi://127.0.0.1:{port}/{IQN}", *auth).stdout
    assert "64" in listing, listing
    source = tmp_path / "source"
    source.write_bytes(os.urandom(20 * 1024 * 1024) + bytes(4 * 1024 * 1024) + os.urandom(40 * 1024 * 1024))
    back = tmp_path / "back"
    for digests in ("none", "crc32c,none"):  # tgt has digests off and answers None whatever is offered
        both = ["--header-digest", digests, "--data-digest", digests]
        lunette.initiator("copy", source, url, *auth, *both)
        lunette.initiator("copy", url, back, *auth, *both)
        assert lunette.same_bytes(source, back)
        lunette.initiator("verify", url, source, *auth, *both)
        os.unlink(back)
    if chap != "none":
        wrong = tmp_path / "wrong"
        wrong.write_text("not the secret!")
        refused = lunette.initiator("capacity", url, "--user", USER, "--secret-file", wrong, check=False)
        assert refused.returncode == 1 and "authentication" in refused.stderr.lower(), refused.stderr
    if chap == "mutual":
        wrong = ["--mutual-user", MUTUAL_USER, "--mutual-secret-file", tmp_path / "wrong"]
        refused = lunette.initiator("capacity", url, *auth[:4], *wrong, check=False)
        assert refused.returncode == 1, "a target that does not prove itself must be refused"


def disk_of(tmp_path, size):
    disk = tmp_path / "disk.img"
    with open(disk, "wb") as out:
        out.truncate(size)
    return disk


# istgt sends no sense with the CHECK CONDITION of a read beyond the end.
@pytest.mark.parametrize("start,vendor,beyond_end", [(start_tgt, "IET", "05/21/00"), (start_istgt, "FreeBSD", "CHECK CONDITION")],
                         ids=["tgt", "istgt"])
def test_raw_cdbs_reach_the_peer(programs, tmp_path, start, vendor, beyond_end):
    port, lun = start(programs, tmp_path, disk_of(tmp_path, 64 * 1024 * 1024), False, False)
    url = f"iscsi://127.0.0.1:{port}/{IQN}/{lun}"
    assert vendor in lunette.initiator("inq", url).stdout
    lunette.initiator("inq", url, "--all")
    assert vendor in lunette.initiator("scsi", url, "120000002400", "--in", 36).stdout
    block, back = tmp_path / "block", tmp_path / "back"
    block.write_bytes(os.urandom(512))
    lunette.initiator("scsi", url, "2a000000000900000100", "--out", block)  # WRITE (10)
    lunette.initiator("read", url, "--lba", 9, "--out", back)
    assert lunette.same_bytes(block, back)
    lunette.initiator("scsi", url, "35000000000000000000")  # SYNCHRONIZE CACHE
    beyond = lunette.initiator("scsi", url, "28000fffffff00000100", "--in", 512, check=False)
    assert beyond.returncode == 1 and beyond_end in beyond.stderr, beyond.stderr
    unknown = lunette.initiator("scsi", url, "c10000000000", check=False)
    assert unknown.returncode == 1 and "05/20/00" in unknown.stderr, unknown.stderr


@pytest.mark.parametrize("start", [start_tgt, start_istgt], ids=["tgt", "istgt"])
def test_copy_comes_through_cuts(programs, tmp_path, start):
    port, lun = start(programs, tmp_path, disk_of(tmp_path, 64 * 1024 * 1024), False, False)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(16 * 1024 * 1024))
    proxy = CutProxy(port, 3_000_001, cuts=3)
    try:
        lunette.initiator("copy", source, f"iscsi://127.0.0.1:{proxy.port}/{IQN}/{lun}")
        assert proxy.connections >= 4
    finally:
        proxy.close()
    lunette.initiator("verify", f"iscsi://127.0.0.1:{port}/{IQN}/{lun}", source)


@pytest.mark.parametrize("start", [start_tgt, start_istgt], ids=["tgt", "istgt"])
def test_copy_comes_through_a_restart(programs, tmp_path, start):
    """The target is killed in mid-copy and started again on another port; the proxy hides that."""
    disk = disk_of(tmp_path, 64 * 1024 * 1024)
    port, lun = start(programs, tmp_path, disk, False, False)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(48 * 1024 * 1024))
    proxy = CutProxy(port, 8_000_001, cuts=1)
    url = f"iscsi://127.0.0.1:{proxy.port}/{IQN}/{lun}"
    copy = lunette.Program(tmp_path, "copy", [lunette.BIN / "lunette-initiator", "copy", source, url, "--depth", 2])
    programs.append(copy)
    while not any(pair.over for pair in proxy.pairs) and copy.process.poll() is None:
        pass  # the first connection is cut in mid-copy: the target goes at that moment
    programs[0].process.kill()
    programs[0].process.wait()
    again = tmp_path / "again"
    again.mkdir()
    proxy.port_behind, _ = start(programs, again, disk, False, False)
    assert copy.process.wait(60 * lunette.SLOW) == 0, copy.stderr()
    lunette.initiator("verify", url, source)
    proxy.close()
