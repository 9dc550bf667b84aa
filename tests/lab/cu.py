"""iscsi-test-cu of libiscsi against our target, LIO, tgt and istgt: which of its tests pass on which.

One run for each family and target, so that a test that hangs costs its family only. The case compares with the table in
docs/interop.md: what passes there on ours has to pass. tests/lab/cu-table writes that table anew.
"""

import dataclasses
import pathlib
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
import lio  # noqa: E402
import peers  # noqa: E402
from target import PROGRAM  # noqa: E402

DOC = ROOT / "docs" / "interop.md"
BEGIN, END = "<!-- cu-table: made by tests/lab/cu-table -->\n", "<!-- end of cu-table -->\n"
SIZE = 64 * 1024 * 1024
TARGETS = ("ours", "LIO", "tgt", "istgt")
SECONDS = {"ours": 60, "LIO": 60, "tgt": 20, "istgt": 12}  # for one family; then it counts as hanging
# Families whose tests want a special LUN. Ours has one of each; the others are tried with the LUN that they have.
# GetLBAStatus.UnmapSingle of 1.19 asks for the block behind the unmapped ones and compares with the one a physical block
# further on: it can pass only where both are the same.
SPECIAL = {"SCSI.StartStopUnit": 1, "SCSI.PreventAllow": 1, "SCSI.NoMedia": 1, "SCSI.ReadOnly": 2, "SCSI.GetLBAStatus": 3}
PASS, FAIL, SKIP, HANG = "pass", "FAIL", "skip", "hang"


def families():
    listing = subprocess.run(["iscsi-test-cu", "--list"], capture_output=True, text=True).stdout
    return sorted({".".join(line.split(".")[:2]) for line in listing.splitlines()
                   if re.match(r"(SCSI|iSCSI)\.\w", line)} - {"SCSI.MultipathIO"})  # that needs a second path


def tests_of(family):
    listing = subprocess.run(["iscsi-test-cu", "--list"], capture_output=True, text=True).stdout
    return [line.strip() for line in listing.splitlines() if line.startswith(family + ".") and line.count(".") == 2]


def results(family, output):
    """{test: verdict} of one run's output. A test's own words stand between its name and its verdict."""
    found = {}
    parts = re.split(r"^  Test: (\S+) \.\.\.", output, flags=re.M)
    for name, said in zip(parts[1::2], parts[2::2]):
        verdict = re.search(r"(?<!\w)(passed|FAILED)(?=\s*$|    \[)", said.replace("[FAILED]", "[failed]"), re.M)
        words = said[:verdict.start()] if verdict else said
        if not verdict:
            found[f"{family}.{name}"] = HANG
        elif verdict[1] == "FAILED":
            found[f"{family}.{name}"] = FAIL
        else:
            found[f"{family}.{name}"] = SKIP if "[SKIPPED]" in words else PASS
    return found


def run_family(family, url, seconds, log):
    started = time.monotonic()
    process = subprocess.Popen(["stdbuf", "-oL", "iscsi-test-cu", "--dataloss", f"--test={family}", url], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    log.write(f"== {family} {url} ({time.monotonic() - started:.1f} s, exit {process.returncode})\n{output[:200000]}\n")
    found = results(family, output)
    for test in tests_of(family):
        found.setdefault(test, HANG)
    return found


def run_all(name, folder, url_of, into):
    with open(folder / f"cu-{name}.log", "w", encoding="utf-8") as log:
        for family in families():
            into.update(run_family(family, url_of(family), SECONDS[name], log))


class Ours:
    def __init__(self, folder):
        self.folder = folder

    def start(self):
        lun = "memory:size=100M,block=512,physical=2048"
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--target", lio.IQN, "--lun", f"0={lun}", "--lun", f"1={lun},removable", "--lun", f"2={lun},readonly",
             "--lun", "3=memory:size=100M",
             "--portal", "127.0.0.1:0", "--referee"], stdout=subprocess.PIPE,
            stderr=open(self.folder / "target.log", "wb"), text=True)
        self.portal = self.process.stdout.readline().split()[-1]
        return lambda family: f"iscsi://{self.portal}/{lio.IQN}/{SPECIAL.get(family, 0)}"

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)


class Peer:
    def __init__(self, folder, start):
        self.folder, self.begin, self.programs = folder, start, []
        folder.mkdir(exist_ok=True)

    def start(self):
        return self.fresh

    def fresh(self, family):
        """A new process for each family: what one leaves behind, a reservation for example, is not the next one's trouble."""
        self.stop()
        folder = self.folder / family
        folder.mkdir()
        disk = folder / "disk.img"
        with open(disk, "wb") as out:
            out.truncate(SIZE)
        port, lun = self.begin(self.programs, folder, disk, False, False)
        return f"iscsi://127.0.0.1:{port}/{peers.IQN}/{lun}"

    def stop(self):
        while self.programs:
            self.programs.pop().finish()


class Guest(lio.Lio):
    def start(self):
        if not super().start():
            raise RuntimeError("the guest with LIO did not start")
        return lambda family: self.url()

    def stop(self):
        self.finish()


def measure(folder):
    """{target: {test: verdict}}, two targets at a time."""
    table = {name: {} for name in TARGETS}
    problems = []

    def line(names):
        for name in names:
            target = {"ours": lambda: Ours(folder), "LIO": lambda: Guest(folder, 400, False),
                      "tgt": lambda: Peer(folder / "tgt", peers.start_tgt),
                      "istgt": lambda: Peer(folder / "istgt", peers.start_istgt)}[name]()
            try:
                url_of = target.start()
                run_all(name, folder, url_of, table[name])
            except Exception as e:  # one target's trouble is not the others'
                problems.append(f"{name}: {e}")
            finally:
                target.stop()

    lines = [threading.Thread(target=line, args=(names,)) for names in (("LIO",), ("ours", "tgt", "istgt"))]
    for one in lines:
        one.start()
    for one in lines:
        one.join()
    return table, problems


def sums(table):
    return {name: {v: list(table[name].values()).count(v) for v in (PASS, FAIL, SKIP, HANG)} for name in TARGETS}


def markdown(table):
    counted = sums(table)
    lines = ["| | " + " | ".join(TARGETS) + " |", "|---|" + "---|" * len(TARGETS)]
    for verdict in (PASS, FAIL, SKIP, HANG):
        lines.append(f"| {verdict} | " + " | ".join(str(counted[name][verdict]) for name in TARGETS) + " |")
    lines += ["", "| test | " + " | ".join(TARGETS) + " |", "|---|" + "---|" * len(TARGETS)]
    tests = sorted(set().union(*(table[name] for name in TARGETS)))
    for test in tests:
        verdicts = [table[name].get(test, "") for name in TARGETS]
        lines.append(f"| {test} | " + " | ".join(verdicts) + " |")
    return "\n".join(lines) + "\n"


def recorded():
    """{test: {target: verdict}} as docs/interop.md has it."""
    text = DOC.read_text(encoding="utf-8")
    if BEGIN not in text:
        return {}
    rows = re.findall(r"^\| (i?SCSI\.\S+) \| (.*) \|$", text.split(BEGIN)[1].split(END)[0], re.M)
    return {test: dict(zip(TARGETS, verdicts.split(" | "))) for test, verdicts in rows}


def write(table):
    text = DOC.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    DOC.write_text(before + BEGIN + markdown(table) + END + rest.split(END)[1], encoding="utf-8")


@dataclasses.dataclass
class TableCase:
    name: str = "cu-table"
    weight: int = 200
    about: str = "iscsi-test-cu against ours, LIO, tgt and istgt: as in docs/interop.md"

    def run(self, folder):
        table, problems = measure(folder)
        (folder.parent.parent / "cu-table.md").write_text(markdown(table), encoding="utf-8")
        known, checks = recorded(), []
        for name in TARGETS:
            ran = sum(verdict in (PASS, FAIL) for verdict in table[name].values())
            checks.append((ran > 50, f"iscsi-test-cu runs against {name}"))
        for test, verdicts in sorted(known.items()):
            if verdicts["ours"] == PASS:
                checks.append((table["ours"].get(test) == PASS, f"{test} passes on ours"))
        checks.append((bool(known), "docs/interop.md has the table"))
        # A capture would be of gigabytes, and much of what iscsi-test-cu sends is malformed on purpose: the live referee.
        said = (folder / "target.log").read_text(errors="replace")
        checks.append((bool(re.search(r"referee: \d+ PDUs of", said)) and not re.search(r"referee: .* R714[34]-\S+ target:", said),
                       "the referee has no finding against our side"))
        return checks, "; ".join(problems) or None


CASES = [TableCase()]
