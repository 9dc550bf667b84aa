"""Disk images for machines that boot from a LUN, and what is on them afterwards."""

import os
import pathlib
import struct
import subprocess

from lab import HERE, LAB

SECTOR, COUNT, COPY_AT = 512, 64, 128  # as in firmware/mbr.S
TOOLS = LAB / "tools"


def tool(name):
    """A program of the unpacked packages (mtools, dosfstools), or of this machine."""
    for folder in ("bin", "sbin", "usr/bin", "usr/sbin"):
        if (TOOLS / folder / name).exists():
            return str(TOOLS / folder / name)
    return next((f"{d}/{name}" for d in ("/usr/sbin", "/sbin") if os.path.exists(f"{d}/{name}")), name)


def run(*words, **options):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True, timeout=60, **options).stdout


def boot_sector_disk(folder):
    """16 MiB: the boot sector, then random sectors for it to read."""
    disk, code = folder / "disk.img", folder / "mbr"
    run("gcc", "-m32", "-c", "-o", f"{code}.o", HERE / "firmware" / "mbr.S")
    run("ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x7c00", "-o", f"{code}.bin", f"{code}.o")
    with open(disk, "wb") as f:
        f.write(pathlib.Path(f"{code}.bin").read_bytes() + os.urandom(COUNT * SECTOR))
        f.truncate(16 << 20)
    return disk


def sectors(disk, first):
    with open(disk, "rb") as f:
        f.seek(first * SECTOR)
        return f.read(COUNT * SECTOR)


def words_sum(disk):
    return "%08x" % (sum(struct.unpack(f"<{COUNT * SECTOR // 4}I", sectors(disk, 1))) & 0xFFFFFFFF)


def sector_copy_is_right(disk):
    return sectors(disk, COPY_AT) == sectors(disk, 1)


def clear_sector_copy(disk):
    with open(disk, "r+b") as f:
        f.seek(COPY_AT * SECTOR)
        f.write(bytes(COUNT * SECTOR))


def efi_disk(folder):
    """16 MiB of FAT with a boot program and its input; returns (disk, the input)."""
    disk, program, data = folder / "disk.img", folder / "BOOTX64.EFI", os.urandom(200_000)
    run("x86_64-w64-mingw32-gcc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib",
        "-fno-stack-protector", "-mno-red-zone", "-mno-stack-arg-probe", "-shared", "-Wl,--subsystem,10",
        "-Wl,-e,efi_main", "-o", program, HERE / "firmware" / "app.c")
    (folder / "INPUT.BIN").write_bytes(data)
    with open(disk, "wb") as f:
        f.truncate(16 << 20)
    run(tool("mkfs.fat"), "-F", "16", disk)
    run(tool("mmd"), "-i", disk, "::/EFI", "::/EFI/BOOT")
    run(tool("mcopy"), "-i", disk, program, "::/EFI/BOOT/BOOTX64.EFI")
    run(tool("mcopy"), "-i", disk, folder / "INPUT.BIN", "::/INPUT.BIN")
    return disk, data


def efi_copy(disk):
    """What the boot program wrote; None when there is no such file."""
    done = subprocess.run([tool("mtype"), "-i", str(disk), "::/COPY.BIN"], capture_output=True, timeout=60)
    return done.stdout if done.returncode == 0 else None


def fat_is_clean(disk):
    return subprocess.run([tool("fsck.fat"), "-n", str(disk)], capture_output=True, timeout=60).returncode == 0


def ext4_disk(folder):
    """64 MiB of ext4 with one file, /text; returns (disk, the file)."""
    disk, tree, text = folder / "disk.img", folder / "tree", os.urandom(1 << 20)
    tree.mkdir()
    (tree / "text").write_bytes(text)
    run(tool("mkfs.ext4"), "-q", "-F", "-d", tree, disk, "64M")
    return disk, text


def ext4_read(disk, path):
    """A file of an ext4 that nobody has mounted."""
    run(tool("e2fsck"), "-fn", disk)
    return run(tool("debugfs"), "-R", f"cat {path}", disk)
