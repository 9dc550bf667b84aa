"""Real file systems in and out (what must be seen 2).

Goal: data that goes in with one tool comes out with another, byte for byte, over every corner of negotiation.
Method: a 1 GiB ext4 image of /usr is copied in by lunette-initiator and out by qemu-img, then in by qemu-img and out by
lunette-initiator. The rows are a pairwise cover of digests x block size x backend x InitialR2T x ImmediateData.
"""

import os

import pytest

import lunette

ROWS = [
    # digests, block, io, InitialR2T, ImmediateData
    ("crc32c", 512, "uring", "yes", "yes"),
    ("crc32c", 4096, "epoll", "no", "no"),
    ("none", 512, "epoll", "yes", "no"),
    ("none", 4096, "uring", "no", "yes"),
    ("none", 4096, "uring", "yes", "no"),
    ("crc32c", 512, "uring", "no", "no"),
    ("none", 512, "epoll", "no", "yes"),
    ("crc32c", 4096, "epoll", "yes", "yes"),
]


def gibibytes(test):
    """A GiB under a sanitizer takes minutes; test_small_copy_round_trip has the same corners for those builds."""
    return pytest.mark.no_asan(pytest.mark.no_tsan(test))


def row_options(digests, io, r2t, immediate):
    return ["--header-digest", digests, "--data-digest", digests, "--initial-r2t", r2t, "--immediate-data", immediate,
            "--io", os.environ.get("LUNETTE_IO", io)]  # a build that knows only one backend says so


@gibibytes
@pytest.mark.parametrize("digests,block,io,r2t,immediate", ROWS)
def test_file_system_in_with_lunette_out_with_qemu(serve, need, big_image, tmp_path, digests, block, io, r2t, immediate):
    need("qemu-img")
    disk = tmp_path / "disk.img"
    target = serve(f"file:{disk},size=1G,block={block}", options=row_options(digests, io, r2t, immediate))
    lunette.initiator("copy", big_image, target.url(), *row_options(digests, io, r2t, immediate), timeout=300)
    out = tmp_path / "out.img"
    lunette.run("qemu-img", "convert", "-f", "raw", "-O", "raw", target.url(), out, timeout=300)
    assert lunette.same_bytes(big_image, out)
    lunette.fsck(out)
    assert lunette.same_bytes(big_image, disk)
    os.unlink(out)
    os.unlink(disk)


@gibibytes
@pytest.mark.parametrize("digests,block,io,r2t,immediate", ROWS)
def test_file_system_in_with_qemu_out_with_lunette(serve, need, big_image, tmp_path, digests, block, io, r2t, immediate):
    need("qemu-img")
    disk = tmp_path / "disk.img"
    target = serve(f"file:{disk},size=1G,block={block}", options=row_options(digests, io, r2t, immediate))
    lunette.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", big_image, target.url(), timeout=300)
    out = tmp_path / "out.img"
    lunette.initiator("copy", target.url(), out, *row_options(digests, io, r2t, immediate), timeout=300)
    assert lunette.same_bytes(big_image, out)
    lunette.fsck(out)
    lunette.initiator("verify", target.url(), big_image, timeout=300)
    os.unlink(out)
    os.unlink(disk)


@pytest.mark.parametrize("digests,block,io,r2t,immediate", ROWS)
def test_small_copy_round_trip(serve, tmp_path, digests, block, io, r2t, immediate):
    """The same corners with 24 MiB of random data and holes, for the sanitizer builds."""
    source = tmp_path / "source"
    with open(source, "wb") as out:
        for piece in range(6):
            out.seek(piece * 4 * 1024 * 1024)
            out.write(os.urandom(3 * 1024 * 1024 - 512 * piece))
        out.truncate(24 * 1024 * 1024)
    target = serve(f"memory:size=24M,block={block}", options=row_options(digests, io, r2t, immediate))
    options = row_options(digests, io, r2t, immediate)
    lunette.initiator("copy", source, target.url(), *options)
    back = tmp_path / "back"
    lunette.initiator("copy", target.url(), back, *options)
    assert lunette.same_bytes(source, back)
    lunette.initiator("verify", target.url(), source, *options)


def test_verify_names_the_first_difference(serve, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(4 * 1024 * 1024))
    target = serve("memory:size=4M")
    lunette.initiator("copy", source, target.url())
    with open(source, "r+b") as handle:
        handle.seek(3_000_001)
        byte = handle.read(1)[0]
        handle.seek(3_000_001)
        handle.write(bytes([byte ^ 1]))
    done = lunette.initiator("verify", target.url(), source, check=False)
    assert done.returncode == 1
    assert "3000001" in done.stdout + done.stderr


def test_copy_refuses_a_destination_that_is_too_small(serve, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"x" * (5 * 1024 * 1024))
    target = serve("memory:size=4M")
    done = lunette.initiator("copy", source, target.url(), check=False)
    assert done.returncode == 1 and "small" in done.stderr


def test_copy_into_a_used_disk_clears_old_bytes_under_holes(serve, tmp_path):
    """A hole in the source must read as zeros afterwards, whatever was there."""
    target = serve("memory:size=8M")
    old = tmp_path / "old"
    old.write_bytes(b"\xff" * (8 * 1024 * 1024))
    lunette.initiator("copy", old, target.url())
    holes = tmp_path / "holes"
    with open(holes, "wb") as out:
        out.truncate(8 * 1024 * 1024)
        out.seek(5 * 1024 * 1024)
        out.write(b"data")
    lunette.initiator("copy", holes, target.url())
    back = tmp_path / "back"
    lunette.initiator("copy", target.url(), back)
    assert lunette.same_bytes(holes, back)
    assert back.stat().st_blocks * 512 < 4 * 1024 * 1024, "the destination file is sparse where the source has zeros"
