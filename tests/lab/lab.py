"""One guest: boots the lab's kernel under QEMU's software emulation, runs a case script in it, and answers the case's
questions. The guest reaches the host's loopback as 10.0.2.2; the other way there are `forwards`, pairs of a port of the
host's loopback and ADDRESS:PORT in the guest (:PORT: its own address)."""

import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "build" / "lab"
HERE = pathlib.Path(__file__).resolve().parent


def cpio(folder, files):
    """The case's own part of the initramfs: {name: (text, mode)}."""
    tree = folder / "case"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name, (text, mode) in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    listing = "\n".join(sorted(str(p.relative_to(tree)) for p in tree.rglob("*"))) + "\n"
    out = folder / "case.cpio"
    with open(out, "wb") as f:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=listing.encode(), stdout=f,
                       check=True)
    return out


class Guest:
    def __init__(self, folder, case, env, verbs, seconds=120, memory=256, forwards=(), extra=(), kernel=""):
        """`kernel`: more words for the kernel's command line."""
        self.folder, self.verbs, self.seconds = folder, verbs, seconds
        folder.mkdir(parents=True, exist_ok=True)
        script = (HERE / "guest" / "lib.sh").read_text() + "\n" + (HERE / "cases" / f"{case}.sh").read_text()
        lines = "".join(f"export {k}='{v}'\n" for k, v in env.items())
        tail = cpio(folder, {
            "init": ((HERE / "guest" / "init").read_text(), 0o755),
            "case": (". /case.env\n" + script, 0o755),
            "case.env": (lines, 0o644),
        })
        initrd = folder / "initrd"
        with open(initrd, "wb") as f:  # concatenated archives: a compressed base and a plain tail
            f.write((LAB / "base.cpio.gz").read_bytes())
            f.write(b"\0" * (-f.tell() % 4))
            f.write(tail.read_bytes())
        self.listener = socket.socket(socket.AF_UNIX)
        tap = folder / "tap.sock"
        tap.unlink(missing_ok=True)
        self.listener.bind(os.path.relpath(tap))
        self.listener.listen(1)
        net = "user,id=net0" + "".join(f",hostfwd=tcp:127.0.0.1:{host}-{guest}" for host, guest in forwards)
        self.command = [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", str(memory), "-smp", "1", "-display", "none",
            "-nodefaults", "-no-reboot", "-kernel", str(LAB / "vmlinuz"), "-initrd", str(initrd),
            "-append", f"console=ttyS0 panic=-1 quiet mitigations=off random.trust_cpu=on {kernel}",
            "-serial", f"file:{folder / 'console.log'}", "-chardev", f"socket,id=tap,path={os.path.relpath(tap)}",
            "-serial", "chardev:tap", "-netdev", net, "-device", "virtio-net-pci,netdev=net0,romfile=", *extra,
        ]
        self.results = []  # (ok, name)
        self.status = None
        self.note = None

    def run(self, on_line=lambda line: None):
        """Boots, runs the case, waits for its end. True when every check passed and the case said so itself."""
        started = time.monotonic()
        log = open(self.folder / "qemu.log", "wb")
        process = subprocess.Popen(self.command, stdout=log, stderr=log)
        killer = threading.Timer(self.seconds, process.kill)
        killer.start()
        try:
            self.listener.settimeout(self.seconds)
            link, _ = self.listener.accept()
            self.talk(link.makefile("rwb", buffering=0), on_line)
            process.wait()
        except OSError as e:
            self.note = f"no word from QEMU: {e}"
        finally:
            killer.cancel()
            process.kill()
            process.wait()
            self.listener.close()
        self.took = time.monotonic() - started
        if self.status is None and not self.note:
            self.note = f"the guest did not finish (after {self.took:.0f} s)"
        return self.status == 0 and self.results and all(ok for ok, _ in self.results)

    def talk(self, stream, on_line):
        while True:
            raw = stream.readline()
            if not raw:
                return
            line = raw.decode(errors="replace").strip()
            if line.startswith("@"):
                stream.write((self.answer(line[1:].split()) + "\n").encode())
            elif line.startswith(("ok ", "not ok ")):
                self.results.append((line.startswith("ok"), line.split(" - ", 1)[-1]))
                on_line(line)
            elif line.startswith("exit "):
                self.status = int(line.split()[1])

    def answer(self, words):
        verb = self.verbs.get(words[0])
        if not verb:
            return f"error: no verb {words[0]}"
        try:
            return str(verb(*words[1:]) or "done").replace("\n", " ")
        except Exception as e:  # the guest's check fails with these words in its log
            return f"error: {e}"
