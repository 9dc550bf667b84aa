"""Our target as a lab case uses it: a service on a state directory behind a Link, and the verbs a guest may ask for."""

import os
import pathlib
import random
import signal
import socket
import subprocess
import time

from link import Link

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "bin" / "lunette-target"
IQN = "iqn.2026-01.org.lunette:lab"


def free_port():
    """Below the range from which the kernel takes ports of its own: a target that is restarted finds its port free."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Target:
    def __init__(self, folder, name="target", iqn=IQN):
        self.folder, self.name, self.iqn = folder, name, iqn
        self.state = folder / f"{name}-state"
        self.port = free_port()
        self.link = Link(self.port)
        self.portal = f"10.0.2.2:{self.link.port}"  # as a guest reaches it
        self.process, self.starts = None, 0
        self.ctl("create", iqn)
        self.ctl("portal", "add", f"127.0.0.1:{self.port}", "--advertise", self.portal)

    def ctl(self, *words):
        done = subprocess.run([PROGRAM, *words, "--state", self.state], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"lunette-target {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout.strip()

    def start(self):
        self.log = open(self.folder / f"{self.name}.log", "ab")
        self.starts += 1  # each start has a capture of its own, for watch.py
        capture = self.folder / f"target-{self.name}-{self.starts}.pcapng"
        self.process = subprocess.Popen([PROGRAM, "serve", "--state", self.state, "--capture", capture,
                                         "--capture-buffer", "512M"], stdout=subprocess.PIPE,
                                        stderr=self.log)
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on"):
            raise RuntimeError(f"the target does not listen: {line!r}")

    def stop(self, how=signal.SIGTERM):
        if self.process:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def restart(self, how="TERM"):
        self.stop(getattr(signal, f"SIG{how}"))
        self.start()

    def close(self):
        """The exit status counts: a target that did not stop well fails the case."""
        status = 0
        if self.process:
            self.process.terminate()
            try:
                status = self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                status = -1
        self.link.close()
        return status

    def verbs(self):
        """What a guest may ask for, by first word."""
        return {
            "ctl": lambda *words: self.ctl(*[w.replace("%IQN", self.iqn) for w in words]),
            "cut": lambda: self.link.cut(),
            "stall": lambda seconds: self.link.stall(seconds),
            "down": lambda seconds: (self.link.down(), time.sleep(float(seconds)), self.link.restore()) and None,
            "downfor": self.down_for,
            "restart": lambda how="TERM": self.restart(how),
            "accepted": lambda: self.link.accepted,
        }

    def down_for(self, seconds):
        """Answers at once; the link comes back by itself."""
        import threading

        self.link.down()
        threading.Timer(float(seconds), self.link.restore).start()
