"""Files whose small reads come from a map of them.

Goal: a target maps a file that is read at random and always cached, and not one in memory or with O_DIRECT; what it reads
there is what was written; a file that somebody cuts off, or makes longer, costs neither the target nor other files
anything. Method: the real programs; /proc tells what is mapped.
"""

import json
import os
import subprocess

import pytest

import lunette

BENCH = lunette.BIN / "lunette-bench"
MIB = 1 << 20


def bench(target, *args, lun=0):
    done = lunette.run(BENCH, "--json", "-", "--size", "4K", *args, target.url(lun))
    r = json.loads(done.stdout)
    assert r["errors"] == r["mismatches"] == 0, r
    return r


def is_mapped(target, path):
    with open(f"/proc/{target.process.pid}/maps") as maps:
        return any(line.split()[1] == "r--s" and line.rstrip().endswith(str(path)) for line in maps)


def random_file(path, mib=16):
    path.write_bytes(os.urandom(mib * MIB))
    return path


@pytest.fixture
def on_disk(tmp_path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True).stdout.strip()
    if kind not in ("ext2/ext3", "xfs", "btrfs", "f2fs"):
        pytest.skip(f"files on {kind} are not mapped")


def read_blocks(target, tmp_path, lba, blocks, lun=0):
    out = tmp_path / "out"
    lunette.initiator("read", target.url(lun), "--lba", lba, "--blocks", blocks, "--out", out)
    return out.read_bytes()


@pytest.mark.parametrize("io", ["uring", "epoll"])
def test_what_is_read_there_is_what_was_written(serve, on_disk, tmp_path, io):
    disk = random_file(tmp_path / "disk.img")
    target = serve(f"file:{disk}", options=["--io", os.environ.get("LUNETTE_IO", io)])
    assert not is_mapped(target, disk)
    bench(target, "--commands", 5000)
    assert is_mapped(target, disk)
    bench(target, "--verify", "--read", 50, "--commands", 20000)
    bench(target, "--verify", "--mix", "read=60,write=30,unmap=10", "--sessions", 4, "--commands", 20000)
    lunette.initiator("verify", target.url(), disk)


def test_with_o_direct_nothing_is_mapped(serve, tmp_path):
    disk = random_file(tmp_path / "disk.img")
    target = serve(f"file:{disk},direct,block=4096")
    bench(target, "--commands", 5000)
    assert not is_mapped(target, disk)


def test_a_file_in_memory_is_not_mapped(serve):
    disk = "/dev/shm/lunette-test-mapped"  # reading a hole through a map would take memory there
    try:
        target = serve(f"file:{disk},size=16M")
        bench(target, "--commands", 5000)
        assert not is_mapped(target, disk)
        assert os.stat(disk).st_blocks == 0
    finally:
        if os.path.exists(disk):
            os.unlink(disk)


def test_a_file_that_is_cut_off_under_load(serve, on_disk, tmp_path):
    disk, other = random_file(tmp_path / "disk.img"), random_file(tmp_path / "other.img")
    head, content = disk.read_bytes()[:4 * MIB], other.read_bytes()
    target = serve(f"file:{disk}", f"1=file:{other}")
    for lun in (0, 1):
        bench(target, "--commands", 5000, lun=lun)
    assert is_mapped(target, disk) and is_mapped(target, other)
    load = subprocess.Popen([str(BENCH), "--json", "-", "--size", "4K", "--duration", "3s", target.url()],
                            stdout=subprocess.PIPE, text=True)
    try:
        for mib in (12, 8, 4):
            assert load.poll() is None
            os.truncate(disk, mib * MIB)
            assert read_blocks(target, tmp_path, mib * 2048, 8) == bytes(4096)  # behind its end there is nothing
        result = json.loads(load.communicate(timeout=60)[0])
    finally:
        load.kill()
    assert result["errors"] == 0 and result["commands"] > 0
    assert read_blocks(target, tmp_path, 0, 8192) == head
    assert read_blocks(target, tmp_path, 0, 8, lun=1) == content[:4096]
    lunette.initiator("write", target.url(), "--lba", 16384, "--in", random_file(tmp_path / "new", 1))
    bench(target, "--commands", 5000)  # and there is a map again
    assert read_blocks(target, tmp_path, 16384, 8) == (tmp_path / "new").read_bytes()[:4096]
    lunette.initiator("verify", target.url(1), other)
