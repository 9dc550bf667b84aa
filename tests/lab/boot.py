"""Machines that boot from a LUN of ours: iPXE, EDK2 (OVMF), and QEMU's own block driver below an ordinary BIOS.

What a machine says on its first serial port (firmware, kernel) goes to console.log; the boot sector and the boot program
of ours speak on the second one (said.log) and end QEMU with status 33, so a machine that never gets there is killed when
its time is up."""

import contextlib
import dataclasses
import functools
import http.server
import pathlib
import re
import subprocess
import threading
import zlib

import images
import varstore
from lab import LAB, Guest
from target import Target

INITIATOR = "iqn.2026-01.org.lunette:guest"
# EDK2 takes 12 to 16 characters.
SECRET, MUTUAL = "guest-secret-01", "target-secret-01"
WRONG, WRONG_MUTUAL = "wrong-secret-01", "wrong-target-01"
ENDED_WELL = 33  # isa-debug-exit: 2 * 0x10 + 1
MAC = "52:54:00:12:34:56"
OVMF = pathlib.Path("/usr/share/OVMF")
# The boot ROM answers to the identity of a virtio device without a legacy side.
IPXE_NIC = ["-device", "virtio-net-pci-non-transitional,netdev=net0,bootindex=1,"
            "romfile=/usr/lib/ipxe/qemu/pxe-virtio.rom"]


def machine(folder, kind, *more, memory=128, seconds=120, name=""):
    """Runs QEMU until it ends; returns (status or None, console, said)."""
    console, said = folder / f"console{name}.log", folder / f"said{name}.log"
    command = [
        "qemu-system-x86_64", "-machine", kind, "-accel", "tcg", "-m", str(memory), "-display", "none", "-nodefaults",
        "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4", "-serial", f"file:{console}", "-serial", f"file:{said}",
        *map(str, more),
    ]
    with open(folder / f"qemu{name}.log", "wb") as log:
        try:
            status = subprocess.run(command, stdout=log, stderr=log, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            status = None
    read = lambda path: path.read_text(errors="replace") if path.exists() else ""  # noqa: E731
    return status, read(console), read(said)


def netdev(**options):
    return ["-netdev", "user,id=net0" + "".join(f",{k}={v}" for k, v in options.items())]


@dataclasses.dataclass
class BootCase:
    """A case that needs no guest script: `body` yields (ok, name)."""

    name: str
    about: str
    body: object  # (case, folder, target) -> iterable of (ok, name)
    auth: str = ""  # what the target wants: "", "chap" or "mutual"

    def run(self, folder):
        target = Target(folder)
        if self.auth:
            mutual = ("--mutual", "lunette", "--mutual-secret", MUTUAL) if self.auth == "mutual" else ()
            target.ctl("user", "set", target.iqn, "guest", "--secret", SECRET, *mutual)
        results, note = [], None
        try:
            results.extend(self.body(self, folder, target))
        except (OSError, RuntimeError, subprocess.SubprocessError, AssertionError) as e:
            note = f"the case cannot go on: {e}"
        finally:
            status = target.close()
        return results + [(status == 0, "the target stops well")], note

    def refusals(self):
        """Attempts to log in that the target has to refuse: (name, chap, mutual)."""
        if self.auth:
            yield "no secret", None, None
            yield "wrong secret", ("guest", WRONG), None
        if self.auth == "mutual":
            yield "wrong secret of the target", ("guest", SECRET), ("lunette", WRONG_MUTUAL)

    def right(self):
        return (("guest", SECRET) if self.auth else None), (("lunette", MUTUAL) if self.auth == "mutual" else None)


# ---- the boot sector, below two firmwares ----------------------------------------------------------------------------


def sector_results(disk, status, said):
    yield "boot sector runs" in said, "the boot sector of the LUN runs"
    yield f"sum {images.words_sum(disk)}" in said, "it reads what is on the LUN"
    yield "copy written" in said and images.sector_copy_is_right(disk), "what it writes is on the LUN"
    yield status == ENDED_WELL, "it ends the machine"


def ipxe_script(target, lines):
    return "\n".join(["#!ipxe", f"set initiator-iqn {INITIATOR}", "set san-retries 1", "set keep-san 1", *lines]) + "\n"


def ipxe_login(target, chap, mutual):
    """Lines that set the secrets or clear them, and the LUN's name."""
    pairs = (("username", "password", chap), ("reverse-username", "reverse-password", mutual))
    lines = []
    for user, password, values in pairs:
        lines += [f"set {user} {values[0]}", f"set {password} {values[1]}"] if values else [f"clear {user}", f"clear {password}"]
    return lines, f"iscsi:10.0.2.2::{target.link.port}:0:{target.iqn}"


def ipxe_attempts(case, target):
    """Lines that try what has to be refused, and set what is right; the LUN's name."""
    lines = []
    for what, chap, mutual in case.refusals():
        sets, lun = ipxe_login(target, chap, mutual)
        lines += [*sets, f"sanhook --no-describe {lun} && echo LAB taken: {what} || echo LAB refused: {what}"]
    sets, lun = ipxe_login(target, *case.right())
    return lines + sets, lun


def ipxe_results(case, console):
    for what, _, _ in case.refusals():
        yield f"LAB refused: {what}" in console and f"LAB taken: {what}" not in console, f"{what}: refused"


def ipxe_boot(case, folder, target):
    disk = images.boot_sector_disk(folder)
    target.ctl("lun", "add", target.iqn, f"0=file:{disk}")
    target.start()
    lines, lun = ipxe_attempts(case, target)
    tftp = folder / "tftp"
    tftp.mkdir()
    (tftp / "boot.ipxe").write_text(ipxe_script(target, lines + [f"sanboot --no-describe {lun} || echo LAB not booted"]))
    status, console, said = machine(folder, "pc,graphics=off", *netdev(tftp=tftp, bootfile="boot.ipxe"), *IPXE_NIC)
    yield from ipxe_results(case, console)
    yield from sector_results(disk, status, said)


def qemu_boot(case, folder, target):
    """QEMU's own iSCSI driver (libiscsi) holds the disk; the BIOS knows nothing of it."""
    disk = images.boot_sector_disk(folder)
    target.ctl("lun", "add", target.iqn, f"0=file:{disk}")
    target.start()

    def start(name, user, *more):
        url = f"iscsi://{user}127.0.0.1:{target.link.port}/{target.iqn}/0"
        return machine(folder, "pc,graphics=off", "-drive", f"file={url},format=raw,if=ide,cache=none", *more, name=name)

    # QEMU's option for its own side of mutual CHAP does not exist: one-way only.
    if case.auth:
        for what, user in (("no secret", ""), ("wrong secret", f"guest%{WRONG}@")):
            status, _, said = start("-refused", user)
            words = (folder / "qemu-refused.log").read_text(errors="replace")
            yield status == 1 and not said and "iSCSI" in words, f"{what}: QEMU does not start"
    user = f"guest%{SECRET}@" if case.auth else ""
    for digest in ("NONE", "CRC32C"):
        images.clear_sector_copy(disk)
        status, _, said = start("-" + digest.lower(), user, "-iscsi", f"initiator-name={INITIATOR},header-digest={digest}")
        for ok, what in sector_results(disk, status, said):
            yield ok, f"header digest {digest}: {what}"


# ---- EDK2 ------------------------------------------------------------------------------------------------------------


def ovmf_boot(case, folder, target):
    """Attempts that have to fail come first, in the same start: the firmware goes on to the next."""
    disk, data = images.efi_disk(folder)
    target.ctl("lun", "add", target.iqn, f"0=file:{disk}")
    target.start()
    tries = [*case.refusals(), ("", *case.right())]
    attempts = [dict(mac=MAC, portal=target.portal, target=target.iqn, chap=chap, mutual=mutual)
                for _, chap, mutual in tries]
    variables = folder / "vars.fd"
    variables.write_bytes(varstore.with_attempts((OVMF / "OVMF_VARS_4M.fd").read_bytes(), INITIATOR, attempts))
    flash = "if=pflash,format=raw"
    status, console, said = machine(
        folder, "q35", "-drive", f"{flash},unit=0,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}",
        "-drive", f"{flash},unit=1,file={variables}", *netdev(),
        "-device", f"virtio-net-pci,netdev=net0,mac={MAC},romfile=", memory=256)
    log = (folder / "target.log").read_text(errors="replace")
    yield from refused_in_log(case, log)
    yield re.search(r"starting Boot\d+ .*iSCSI\(", console) is not None, "the firmware boots from the iSCSI device"
    yield "boot program runs" in said, "the boot program of the LUN runs"
    yield f"sum {sum(data) & 0xFFFFFFFF:08x}" in said, "it reads what is on the LUN"
    yield "copy written" in said and images.efi_copy(disk) == data, "what it writes is on the LUN"
    yield images.fat_is_clean(disk), "the file system is sound"
    yield status == ENDED_WELL, "it ends the machine"


def refused_in_log(case, log):
    """The firmware does not say why it went on; the target's log does: each attempt is one connection, and only the last
    one gets a session."""
    ends = [line.split("conn.closed ")[1].split(" (")[0] for line in log.splitlines() if "conn.closed " in line]
    # Without a secret it offers AuthMethod=None, and hangs up when that is rejected; it does so too when the target's
    # response is wrong. A wrong secret of its own gets a Login Response with status 0201h.
    expected = {"no secret": "closed by the initiator", "wrong secret": "login failed",
                "wrong secret of the target": "closed by the initiator"}
    for n, (what, _, _) in enumerate(case.refusals()):
        yield n < len(ends) and ends[n] == expected[what] and log.count("session.up") == 1, f"{what}: refused"


# ---- iPXE, then Linux from its iBFT ----------------------------------------------------------------------------------


class IbftGuest(Guest):
    """A guest whose kernel comes through iPXE, so that the firmware's session and its iBFT are there before."""

    def __init__(self, folder, case, env, verbs, tftp):
        super().__init__(folder, case, env, verbs, seconds=180, extra=("-machine", "pc,graphics=off"))
        command = self.command
        for option in ("-kernel", "-initrd", "-append"):
            at = command.index(option)
            del command[at : at + 2]
        at = command.index("-device")
        assert "virtio-net" in command[at + 1]
        command[at : at + 2] = IPXE_NIC
        at = command.index("-netdev")
        command[at + 1] += f",tftp={tftp},bootfile=boot.ipxe"


@contextlib.contextmanager
def web_server(folder):
    """iPXE fetches kernel and initramfs by HTTP: TFTP needs a minute for them."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def ipxe_linux(case, folder, target):
    disk, text = images.ext4_disk(folder)
    target.ctl("lun", "add", target.iqn, f"0=file:{disk}")
    target.start()
    tftp, web = folder / "tftp", folder / "web"
    tftp.mkdir()
    web.mkdir()
    guest = IbftGuest(folder, "ipxe-linux", {
        "IQN": target.iqn, "PORT": target.link.port, "INITIATOR": INITIATOR, "IBFT": 1, "SUM": zlib.crc32(text),
        "SECRET": SECRET if case.auth else "", "MUTUAL": MUTUAL if case.auth == "mutual" else "",
    }, target.verbs(), tftp)
    (web / "vmlinuz").symlink_to(LAB / "vmlinuz")
    (web / "initrd").symlink_to(folder / "initrd")
    lines, lun = ipxe_attempts(case, target)
    with web_server(web) as port:
        url = f"http://10.0.2.2:{port}"
        (tftp / "boot.ipxe").write_text(ipxe_script(target, lines + [
            f"sanhook {lun} && echo LAB hooked || echo LAB not hooked",
            f"kernel {url}/vmlinuz initrd=initrd console=ttyS0 panic=-1 quiet mitigations=off random.trust_cpu=on",
            f"initrd {url}/initrd", "boot"]))
        guest.run()
    console = (folder / "console.log").read_text(errors="replace")
    yield from ipxe_results(case, console)
    yield "LAB hooked" in console, "iPXE logs in"
    yield from guest.results
    yield guest.status == 0, f"Linux comes to its end ({guest.note or 'it does'})"
    yield images.ext4_read(disk, "/written") == b"written by Linux\n", "what Linux wrote is on the LUN"


CASES = [
    BootCase("ipxe-boot", "iPXE: a boot sector from a LUN, by sanboot", ipxe_boot),
    BootCase("ipxe-chap", "iPXE: the same with CHAP; no secret and a wrong one first", ipxe_boot, "chap"),
    BootCase("ipxe-mutual", "iPXE: the same with mutual CHAP, and a target that does not know its secret", ipxe_boot,
             "mutual"),
    BootCase("ipxe-linux", "iPXE, its iBFT, and Linux that logs in with iscsistart -b; mutual CHAP", ipxe_linux, "mutual"),
    BootCase("ovmf-boot", "EDK2: boots a program from a LUN that reads and writes its file system", ovmf_boot),
    BootCase("ovmf-chap", "EDK2: the same with CHAP; no secret and a wrong one first", ovmf_boot, "chap"),
    BootCase("ovmf-mutual", "EDK2: the same with mutual CHAP, and a target that does not know its secret", ovmf_boot,
             "mutual"),
    BootCase("qemu-boot", "QEMU's block driver (libiscsi): a boot sector from -drive file=iscsi://, with digests", qemu_boot),
    BootCase("qemu-chap", "QEMU's block driver: the same with CHAP; no secret and a wrong one first", qemu_boot, "chap"),
]
