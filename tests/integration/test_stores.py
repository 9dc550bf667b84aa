"""The kinds of stores through the whole target: what goes in comes out, and what a store promises is so.

Goal: O_DIRECT, preallocated, shared, block device and memory stores serve real copies; UNMAP gives space back; read-only
refuses. Method: the real programs; the file system says how much space a file takes.
"""

import os
import subprocess

import pytest

import lunette


def random_file(path, mib):
    path.write_bytes(os.urandom(mib << 20))
    return path


def blocks_used(path):
    return os.stat(path).st_blocks * 512


def round_trip(target, source, tmp_path):
    lunette.initiator("copy", source, target.url())
    lunette.initiator("verify", target.url(), source)
    back = tmp_path / "back"
    lunette.initiator("copy", target.url(), back)
    assert lunette.same_bytes(source, back)


@pytest.mark.parametrize("io", ["uring", "epoll"])
@pytest.mark.parametrize("spec", ["file:{disk},size=32M,direct,block=4096", "file:{disk},size=32M,direct",
                                  "file:{disk},size=32M,preallocate", "file:{disk},size=32M,shared", "memory:size=32M"])
def test_round_trip(serve, tmp_path, spec, io):
    target = serve(spec.format(disk=tmp_path / "disk.img"), options=["--io", os.environ.get("LUNETTE_IO", io)])
    round_trip(target, random_file(tmp_path / "source", 32), tmp_path)


def test_preallocated_takes_its_space_and_sparse_does_not(serve, tmp_path):
    serve(f"file:{tmp_path / 'full'},size=16M,preallocate", f"1=file:{tmp_path / 'thin'},size=16M")
    assert blocks_used(tmp_path / "full") >= 16 << 20
    assert blocks_used(tmp_path / "thin") < 1 << 20


def test_unmap_punches_holes(serve, tmp_path):
    disk = tmp_path / "disk.img"
    target = serve(f"file:{disk},size=16M")
    lunette.initiator("copy", random_file(tmp_path / "source", 16), target.url())
    assert blocks_used(disk) >= 16 << 20
    # UNMAP of blocks 0..16383 (8 MiB): parameter list of one descriptor.
    (tmp_path / "list").write_bytes(bytes.fromhex("0016001000000000" + "0000000000000000" + "00004000" + "00000000"))
    lunette.initiator("scsi", target.url(), "42000000000000001800", "--out", tmp_path / "list")
    assert blocks_used(disk) <= (8 << 20) + 65536
    lunette.initiator("read", target.url(), "--lba", "16382", "--blocks", "4", "--out", tmp_path / "seam")
    seam, source = (tmp_path / "seam").read_bytes(), (tmp_path / "source").read_bytes()
    assert seam == bytes(1024) + source[8 << 20 : (8 << 20) + 1024]


def test_read_only_lun_refuses_writes(serve, tmp_path):
    disk = random_file(tmp_path / "disk.img", 4)
    before = disk.read_bytes()
    target = serve(f"file:{disk},readonly")
    done = lunette.initiator("write", target.url(), "--lba", "0", "--in", random_file(tmp_path / "x", 1), check=False)
    assert done.returncode == 1 and "27/00" in done.stderr
    lunette.initiator("verify", target.url(), disk)
    assert disk.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="a loop device needs root")
def test_block_device(serve, tmp_path):
    backing = tmp_path / "backing"
    with open(backing, "wb") as out:
        out.truncate(32 << 20)
    made = subprocess.run(["losetup", "--find", "--show", str(backing)], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no loop device here: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        target = serve(f"file:{device}")
        round_trip(target, random_file(tmp_path / "source", 32), tmp_path)
        second = lunette.target("serve", "--target", lunette.IQN, "--lun", f"file:{device}", "--portal", "127.0.0.1:0",
                                check=False, timeout=20)
        assert second.returncode != 0 and "in use" in second.stderr
        assert target.stop() == []
        assert lunette.same_bytes(backing, tmp_path / "source")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
