"""dm-multipath in the guest over two ways to one disk: two portals of one target, or two services that share a file."""

import dataclasses
import threading

from lab import Guest
from link import Link
from target import IQN, Target, free_port

INITIATOR = "iqn.2026-01.org.lunette:guest"
# Both services of a pair show the disk under one identity, or Linux would take it for two.
SERIAL, NAA = "LUNETTE-SHARED-1", "6c0ffee0000000000000000000000001"


class Ways:
    """Two links, 1 and 2, and what a guest may ask of them: @way 1 down, @way 1 up, @way 1 cut, @both SECONDS."""

    def __init__(self, *links):
        self.links = links

    def verb(self, number, what):
        link = self.links[int(number) - 1]
        {"down": link.down, "up": link.restore, "cut": link.cut}[what]()

    def both(self, seconds):
        """Takes both down; the first comes back by itself."""
        for link in self.links:
            link.down()
        threading.Timer(float(seconds), self.links[0].restore).start()


def two_portals(folder):
    """(targets, links, what the guest discovers from)"""
    target = Target(folder)
    port = free_port()
    second = Link(port)
    target.ctl("portal", "add", f"127.0.0.1:{port}", "--advertise", f"10.0.2.2:{second.port}")
    target.ctl("lun", "add", target.iqn, f"0=file:{folder / 'disk.img'},size=256M", "--serial", SERIAL, "--naa", NAA)
    return [target], [target.link, second], target.portal


def two_services(folder):
    targets = [Target(folder, "target"), Target(folder, "second", IQN + "-second")]
    for target in targets:
        target.ctl("lun", "add", target.iqn, f"0=file:{folder / 'disk.img'},size=256M,shared",
                   "--serial", SERIAL, "--naa", NAA)
    return targets, [t.link for t in targets], " ".join(t.portal for t in targets)


@dataclasses.dataclass
class MultipathCase:
    name: str
    about: str
    make: object

    def run(self, folder):
        targets, links, portals = self.make(folder)
        ways = Ways(*links)
        verbs = {"way": ways.verb, "both": ways.both}
        try:
            for target in targets:
                target.start()
            env = {"PORTALS": portals, "INITIATOR": INITIATOR, "MULTIPATH": 1, "SERIAL": SERIAL, "NAA": NAA}
            guest = Guest(folder, "linux-multipath", env, verbs, 400)
            guest.run()
        finally:
            stopped = [target.close() for target in targets]
            for link in links:
                link.close()
        note = guest.note or (f"the guest's case ended with {guest.status}" if guest.status and all(
            ok for ok, _ in guest.results) else None)
        return guest.results + [(not any(stopped), "the target stops well")], note


CASES = [
    MultipathCase("multipath-portals", "dm-multipath: two portals, lost in mid-write", two_portals),
    MultipathCase("multipath-services", "dm-multipath: two services that share a file, lost in mid-write", two_services),
]
