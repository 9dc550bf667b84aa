"""What every case is watched with: tshark and our own referee read each capture that the case left in its folder.

Captures are named after our side: target*.pcapng were made by lunette-target, initiator*.pcapng by our initiator. tshark
shares no code with us: it finds what is malformed and what has a bad digest. The referee may have no finding against our
side; what it finds against the peer is counted and listed (docs/interop.md), for that is not ours to repair.
"""

import collections
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFORMANCE = ROOT / "build" / "bin" / "lunette-conformance"
# What tshark tells of a packet that it objects to, and of each INQUIRY.
FIELDS = ("frame.number", "iscsi.opcode", "scsi_sbc.opcode", "iscsi.datasegmentlength", "iscsi.request_frame",
          "scsi.cdb.alloclen16", "_ws.expert.severity", "_ws.col.Info")
ERROR = 0x800000  # tshark's severity of what is malformed


def referee(path, side):
    """(findings against `side`, findings against the peer, connections, totals) of one capture."""
    done = subprocess.run([CONFORMANCE, "check", path, "--json", "--vantage", side], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"lunette-conformance check {path.name}: {done.stderr.strip()}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = [one for one in lines if one["type"] == "finding"]
    return ([one for one in found if one["party"] == side], [one for one in found if one["party"] != side],
            [one for one in lines if one["type"] == "connection"], lines[-1])


def target_ports(connections):
    """tshark has to be told the ports."""
    return sorted({int(one["target"].rsplit(":", 1)[1]) for one in connections})


def with_digests(connections):
    return any("CRC32C" in str(one["keys"].get(f"{part}Digest", {}).get("target") or "")
               for one in connections for part in ("Header", "Data"))


def objections(packets):
    """What tshark objects to, without its one mistake: a VPD page that ends where the initiator's allocation length ends is
    all that was asked for (Linux asks for four bytes to learn the length), but tshark reads on and calls it malformed."""
    asked, lines = {}, []
    for number, opcode, cdb, length, request, allocation, severities, info in packets:
        if all(int(one) < ERROR for one in severities.split(",") if one):
            asked[number] = allocation
        elif (opcode, cdb) != ("0x25", "0x12") or length != asked.get(request):
            lines.append(f"tshark: packet {number}: {info}")
    return lines


def tshark(paths, ports, digests, damaged):
    """What tshark objects to in these captures, as lines. Digests have no filter of their own: their words are looked for."""
    name = paths[0].name
    merged = paths[0].parent / "merged.tmp"  # it starts slowly: once for all
    subprocess.run(["mergecap", "-w", merged, *paths], check=True, capture_output=True)
    options = [word for port in sorted(ports) for word in ("-d", f"tcp.port=={port},iscsi")]
    bad = subprocess.run(["tshark", "-r", merged, "-n", *options, "-T", "fields",
                          *(word for field in FIELDS for word in ("-e", field)),
                          "-Y", f"_ws.malformed || _ws.expert.severity >= {ERROR} || scsi.cdb.alloclen16"],
                         capture_output=True, text=True)
    lines = objections([line.split("\t") for line in bad.stdout.splitlines()])
    if bad.returncode:
        lines.append(f"tshark ended with {bad.returncode} at {name}: {bad.stderr.strip()[-300:]}")
    if digests:
        told = subprocess.Popen(["tshark", "-r", merged, "-n", *options, "-V", "-O", "iscsi", "-Y", "iscsi"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
        good, wrong = 0, []
        for line in told.stdout:
            if "Digest: 0x" in line:
                good += "(Good CRC32)" in line
                if "(Good CRC32)" not in line:
                    wrong.append(f"tshark: {line.strip()}")
        told.wait()
        if not good:
            lines.append("tshark saw no good digest where some were negotiated")
        if damaged and not wrong:
            lines.append("tshark saw no bad digest where the case made some")
        lines += [] if damaged else wrong
    merged.unlink()
    return lines


def watch(folder, damaged=frozenset()):
    """Results, as (ok, what), for all captures of a case's folder; details go to watch.log. `damaged`: names of captures whose
    connections the case itself damaged on their way: there, and only there, bad digests are as they should be."""
    ours, objections, peers = [], [], collections.Counter()
    captures = sorted(folder.glob("*.pcapng"))
    groups = {}  # what tshark is shown together: (with digests, damaged) -> (paths, ports)
    pdus = 0
    for path in captures:
        side = "target" if path.name.startswith("target") else "initiator"
        mine, theirs, connections, totals = referee(path, side)
        pdus += totals["pdus"]
        ours += [f"{path.name}: packet {one['packet']}: {one['requirement']}: {one['rule']}; expected {one['expected']}, "
                 f"seen {one['seen']}" for one in mine]
        if totals.get("problem") or totals["gaps"]:
            objections.append(f"{path.name}: {totals['problem'] or str(totals['missing_bytes']) + ' bytes were not captured'}")
        peers.update((one["requirement"], one["rule"]) for one in theirs)
        if connections:
            paths, ports = groups.setdefault((with_digests(connections), path.name in damaged), ([], set()))
            paths.append(path)
            ports.update(target_ports(connections))
    for (digests, wrong), (paths, ports) in groups.items():
        objections += tshark(paths, ports, digests, wrong)
    (folder / "watch.log").write_text("\n".join(
        ["== findings against our side"] + ours + ["== what tshark objects to"] + objections + ["== findings against the peer"]
        + [f"{count:6} {name}: {rule}" for (name, rule), count in sorted(peers.items())]) + "\n")
    if not captures:
        return []
    return [(not objections, f"tshark finds nothing malformed and no bad digest in {len(captures)} captures"),
            (not ours and pdus > 0, f"the referee has no finding against our side in {pdus} PDUs")]
