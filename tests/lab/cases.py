"""The lab's cases: which guest script runs against which target, with what configuration."""

import dataclasses
import pathlib

import boot
import multipath
from lab import Guest
from target import IQN, Target

INITIATOR = "iqn.2026-01.org.lunette:guest"
SECRET, MUTUAL = "guest-secret-0001", "target-secret-0001"


@dataclasses.dataclass
class Case:
    name: str
    script: str  # cases/SCRIPT.sh
    about: str
    setup: object = None  # (target) -> None: configuration before it starts
    env: dict = dataclasses.field(default_factory=dict)
    seconds: int = 120
    lun: str = "memory:size=256M"

    def run(self, folder):
        target = Target(folder)
        try:
            target.ctl("lun", "add", target.iqn, "0=" + self.lun.format(folder=folder))
            if self.setup:
                self.setup(target)
            target.start()
            env = {"IQN": target.iqn, "PORTAL": target.portal, "INITIATOR": INITIATOR, **self.env}
            guest = Guest(folder, self.script, env, target.verbs(), self.seconds)
            guest.run()
        finally:
            status = target.close()
        note = guest.note or (f"the guest's case ended with {guest.status}" if guest.status and all(
            ok for ok, _ in guest.results) else None)
        return guest.results + [(status == 0, "the target stops well")], note


def chap(target):
    target.ctl("user", "set", IQN, "guest", "--secret", SECRET)


def mutual(target):
    target.ctl("user", "set", IQN, "guest", "--secret", SECRET, "--mutual", "lunette", "--mutual-secret", MUTUAL)


CASES = [
    Case("linux-disk", "linux-login", "open-iscsi: discovery, login, a file system, logout"),
    Case("linux-matrix", "linux-matrix", "open-iscsi: digests and all negotiation corners", seconds=300),
    Case("linux-chap", "linux-chap", "open-iscsi: CHAP, right and wrong secrets", chap, {"SECRET": SECRET}),
    Case("linux-mutual", "linux-chap", "open-iscsi: mutual CHAP, right and wrong secrets", mutual,
         {"SECRET": SECRET, "MUTUAL": MUTUAL}),
    Case("linux-sg", "linux-sg", "sg3_utils: every page and command that they know"),
    Case("linux-loss", "linux-loss", "open-iscsi: link loss, reset and target restart in mid-I/O", seconds=240,
         lun="file:{folder}/disk.img,size=256M"),
    Case("linux-luns", "linux-luns", "open-iscsi: LUNs added, grown and removed while logged in"),
] + multipath.CASES + boot.CASES
