"""Captures of the target (what must be seen 5): tshark dissects them without a fault, and the referee counts what tshark does.

Goal: every PDU type that the programs produce, IPv4 and IPv6, digests, CHAP, errors; the options; the file after a kill.
Method: real programs and the hand-made initiator talk to a target that captures; tshark, which shares no code with us, reads
the file, and so does lunette-conformance.
"""

import json
import os
import re
import signal
import struct
import subprocess
import time

import pytest

import lunette
import raw

SECRET = "alicesecret123"


def tshark(path, *args, port=None):
    # Checksums are checked only on request. Test ports are none that tshark knows.
    options = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    if port:
        options += ["-d", f"tcp.port=={port},iscsi"]
    return lunette.run("tshark", "-r", path, *options, *args, timeout=120).stdout


def opcodes(path, port):
    """Opcode of every iSCSI PDU, in order; a frame may hold several."""
    seen = []
    for line in tshark(path, "-Y", "iscsi", "-T", "fields", "-e", "iscsi.opcode", port=port).split():
        inside = False
        for one in line.split(","):
            # A Reject's data is the header that was refused: tshark shows its opcode too, but it is no PDU.
            if not inside:
                seen.append(int(one, 16))
            inside = not inside and one == "0x3f"
    return seen


def check(path, *args, expect=(0, 1)):
    done = lunette.run(lunette.BIN / "lunette-conformance", "check", path, "--json", *args, check=False)
    assert done.returncode in expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines, lines[-1]


def assert_clean(path, port, frames_cut=False):
    """No checksum is wrong, nothing is malformed, no segment is missing, no expert sees more than a note."""
    bad = "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0 || _ws.expert.severity >= 0x600000"
    if not frames_cut:
        bad += " || tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment || tcp.analysis.retransmission"
    out = tshark(path, "-Y", bad, port=port)
    assert out == "", out


def drops(path):
    """isb_ifdrop of the last statistics block, read by hand."""
    data = open(path, "rb").read()
    at, dropped = 0, None
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        option = at + 20
        while kind == 5 and option < at + length - 4:
            code, size = struct.unpack_from("<HH", data, option)
            if code == 5:
                dropped = struct.unpack_from("<Q", data, option + 4)[0]
            option += 4 + (size + 3) // 4 * 4
        at += length
    assert at == len(data)
    return dropped


def stop(target):
    problems = target.stop()
    assert not problems and target.process.returncode == 0, problems or target.stderr()


def talk_of_every_kind(target, tmp_path):
    """Every PDU type that the programs produce, apart from CHAP."""
    data = tmp_path / "data"
    data.write_bytes(os.urandom(3 * 1024 * 1024 + 512))
    lunette.initiator("discover", target.portal)
    lunette.initiator("ls", target.url(None))
    lunette.initiator("ping", target.url(), "--count", "2", "--interval", "1ms")  # NOP-Out, NOP-In
    for digests in ("none", "crc32c"):
        both = ["--header-digest", digests, "--data-digest", digests]
        lunette.initiator("copy", data, target.url(), *both)  # Data-Out, R2T
        lunette.initiator("verify", target.url(), data, *both)  # Data-In


def talk_by_hand(target):
    """Task management, a SNACK, which is refused, and so a Reject."""
    r = raw.Raw(target.port, target.iqn)
    r.login()
    r.send(raw.bhs(0x02, flags=0x81 + 1, itt=0x77, rest=struct.pack(">III", 0x76, r.cmd_sn, r.exp_stat_sn), immediate=True))
    assert r.recv().opcode == 0x22
    r.send(raw.bhs(0x10, flags=0x81, itt=raw.NONE, rest=struct.pack(">IIIIIII", raw.NONE, 0, r.exp_stat_sn, 0, 0, 5, 1)))
    try:
        assert r.recv().opcode == 0x3F
    except raw.Closed:
        pass
    r.close()


def test_tshark_and_referee_see_every_pdu(serve, need, tmp_path):
    need("tshark")
    path = tmp_path / "all.pcapng"
    target = serve("memory:size=64M", options=["--capture", path, "--referee"])
    talk_of_every_kind(target, tmp_path)
    talk_by_hand(target)
    port = target.port
    # A session that is open when the target stops is told by an asynchronous message.
    open_one = raw.Raw(port, target.iqn)
    open_one.login()
    target.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    open_one.close()
    stop(target)
    assert_clean(path, port)
    seen = opcodes(path, port)
    assert {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32,
            0x3F} <= set(seen), sorted(set(seen))
    assert drops(path) == 0
    _, totals = check(path)
    assert totals["pdus"] == len(seen) and totals["gaps"] == 0 and totals["skipped_bytes"] == 0, totals
    logged = re.search(r"referee: (\d+) PDUs of (\d+) connections", target.stderr())
    assert logged and int(logged[1]) == len(seen), "the live referee counts the same"


QUERIES = (9, 10, 12)  # task management of RFC 7144: tshark 4.0 does not know it, and shows such a frame as TCP only


def snack(r, kind, itt, ttt, beg, run, lun=0):
    r.send(raw.bhs(0x10, 0x80 | kind, lun=lun, itt=itt, rest=struct.pack(">IIIIIII", ttt, 0, r.exp_stat_sn, 0, 0, beg, run)))


def until_status(r):
    """The PDUs up to a status. It is not acknowledged yet: SNACKs may follow."""
    got = []
    while True:
        before = r.exp_stat_sn
        got.append(r.recv())
        if got[-1].opcode in (0x21, 0x3F) or (got[-1].opcode == 0x25 and got[-1].flags & 1):
            r.exp_stat_sn = before
            return got


def talk_of_recovery(target, digests):
    """Every SNACK and what it brings, DataACK, additional headers, both directions, a ping each way, text, RFC 7144, logout."""
    r = raw.Raw(target.port, target.iqn)
    keys = ("HeaderDigest=CRC32C", "DataDigest=CRC32C") if digests else ()
    r.login("ErrorRecoveryLevel=2", "MaxRecvDataSegmentLength=512", "MaxBurstLength=1024", "InitialR2T=No", "iSCSIProtocolLevel=2",
            "TaskReporting=RFC3720,ResponseFence,FastAbort", *keys)
    r.clear_unit_attention()
    # A read in pieces of 512 bytes; the A bit is set at the ends of bursts.
    itt = r.command(r.read10(0, 8), 0xC1, 4096)
    data = until_status(r)
    last_ack = 0
    for pdu in data:
        if pdu.opcode == 0x25 and pdu.flags & 0x40:
            last_ack = pdu.u32(36) + 1
            snack(r, 2, raw.NONE, pdu.u32(20), last_ack, 0, pdu.header[8:16])
    ins = [pdu for pdu in data if pdu.opcode == 0x25]
    assert len(ins) == 8
    status = data[-1].u32(24)
    if last_ack < 8:
        snack(r, 0, itt, raw.NONE, last_ack, 1)  # Data SNACK
        assert r.recv().opcode in (0x25, 0x3F)
    snack(r, 1, raw.NONE, raw.NONE, status, 1)  # Status SNACK
    assert r.recv().u32(24) == status
    r.exp_stat_sn = status + 1
    # R-Data SNACK: the data comes again and the status with the tag.
    itt = r.command(r.read10(0, 2), 0xC1, 1024)
    status = until_status(r)[-1].u32(24)
    snack(r, 3, itt, 0x77, 0, 0)
    again = until_status(r)
    assert again[-1].opcode in (0x21, 0x3F), again
    r.exp_stat_sn = max(status, again[-1].u32(24)) + 1
    # Bidirectional: XDWRITEREAD(10) with the read length, XDWRITEREAD(32) with the rest of its CDB as well.
    read_length = struct.pack(">HBBI", 5, 2, 0, 512)
    cdb10 = struct.pack(">BBIBHB", 0x53, 0, 16, 0, 1, 0)
    cdb32 = struct.pack(">BBHBBBBHBBQIII", 0x7F, 0, 0, 0, 0, 0, 24, 7, 0, 0, 16, 0, 0, 1)
    extended = struct.pack(">HBB", 17, 1, 0) + cdb32[16:]
    for cdb, ahs in ((cdb10, read_length), (cdb32[:16], extended + read_length)):
        r.command(cdb, 0xE1, 512, bytes(512), ahs=ahs)
        while r.recv().opcode != 0x21:
            pass
    # Unsolicited and solicited data.
    itt = r.command(r.write10(32, 8), 0xA1, 4096, bytes(512))
    while True:
        pdu = r.recv()
        if pdu.opcode != 0x31:
            break
        ttt, length, offset = pdu.u32(20), pdu.u32(44), pdu.u32(40)
        for n, at in enumerate(range(0, length, 512)):
            r.data_out(itt, ttt, bytes(min(512, length - at)), offset + at, n, at + 512 >= length)
    assert pdu.opcode == 0x21
    r.nop(b"x" * 300)
    itt = r.next_itt()
    pairs = raw.text("SendTargets=")
    r.send(raw.bhs(0x04, 0x80, data_len=len(pairs), itt=itt, rest=struct.pack(">I", raw.NONE) + r.sns()), pairs)
    assert r.recv().opcode == 0x24
    for function in (*QUERIES, 5, 6):
        ref = 0x999 if function == 9 else raw.NONE
        r.send(raw.bhs(0x02, 0x80 | function, itt=r.next_itt(), immediate=True,
                       rest=struct.pack(">IIIIII", ref, r.cmd_sn, r.exp_stat_sn, r.cmd_sn if function == 9 else 0, 0, 0)))
        while r.recv().opcode != 0x22:
            pass
    time.sleep(1.3)  # the target pings
    pings = 0
    r.send(raw.bhs(0x00, 0x80, itt=0x5000, immediate=True, rest=struct.pack(">I", raw.NONE) + r.sns(True)))
    while True:
        pdu = r.recv()
        if pdu.opcode == 0x20 and pdu.itt == 0x5000:
            break
        if pdu.opcode == 0x20 and pdu.u32(20) != raw.NONE:
            pings += 1
            r.send(raw.bhs(0x00, 0x80, lun=pdu.header[8:16], itt=raw.NONE, immediate=True,
                           rest=struct.pack(">I", pdu.u32(20)) + r.sns(True)))
    r.send(raw.bhs(0x06, 0x80, itt=r.next_itt(), immediate=True, rest=struct.pack(">HH", 0, 0) + r.sns(True)))
    while r.recv().opcode != 0x26:
        pass
    r.close()
    return pings


@pytest.mark.parametrize("digests", [False, True])
def test_recovery_and_additional_headers_are_dissected(serve, need, tmp_path, digests):
    need("tshark")
    path = tmp_path / "recovery.pcapng"
    target = serve("memory:size=64M", options=["--capture", path, "--referee", "--nop-interval", "1s"])
    pings = talk_of_recovery(target, digests)
    port = target.port
    stop(target)
    assert_clean(path, port)
    seen = opcodes(path, port)
    assert {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31} <= set(seen)
    assert seen.count(0x10) >= 4 and pings >= 1
    assert drops(path) == 0
    lines, totals = check(path)
    found = [one for one in lines if one["type"] == "finding" and one["party"] == "target"]
    assert totals["pdus"] == len(seen) + len(QUERIES) and totals["gaps"] == 0 and not found, (found, totals)
    fields = tshark(path, "-Y", "iscsi.totalahslength > 0", port=port)
    assert fields.count("\n") >= 2, "both kinds of additional headers"


def test_commands_have_latencies_and_keys_are_shown(serve, tmp_path):
    path = tmp_path / "one.pcapng"
    target = serve("memory:size=64M", options=["--capture", path])
    data = tmp_path / "data"
    data.write_bytes(bytes(8192))
    lunette.initiator("write", target.url(), "--lba", "64", "--in", data)
    stop(target)
    lines, totals = check(path, "--timeline")
    writes = [one for one in lines if one["type"] == "command" and one["command"].startswith("WRITE")]
    assert [(one["lun"], one["lba"], one["length"], one["status"]) for one in writes] == [(0, 64, 8192, "GOOD")]
    assert 0 < writes[0]["microseconds"] < 5e6 and writes[0]["request_packet"] < writes[0]["answer_packet"]
    keys = [one for one in lines if one["type"] == "connection"][0]["keys"]
    assert keys["TargetName"]["initiator"] == target.iqn and keys["MaxBurstLength"]["target"]
    text = lunette.run(lunette.BIN / "lunette-conformance", "check", path, check=False)
    assert "TargetName=" in text.stdout and f"{totals['pdus']} PDUs" in text.stdout


def test_ipv6_is_dissected(serve, need, tmp_path):
    need("tshark")
    path = tmp_path / "six.pcapng"
    target = serve("memory:size=64M", portals=("[::1]:0",), options=["--capture", path])
    data = tmp_path / "data"
    data.write_bytes(os.urandom(1024 * 1024))
    lunette.initiator("copy", data, target.url())
    port = target.port
    stop(target)
    assert_clean(path, port)
    assert "::1" in tshark(path, "-c", "4", port=port)
    _, totals = check(path)
    assert totals["pdus"] == len(opcodes(path, port)) > 10


@pytest.mark.parametrize("hide", [False, True])
def test_secrets_stay_out_on_request(serve, need, tmp_path, hide):
    need("tshark")
    path, secret = tmp_path / "chap.pcapng", tmp_path / "secret"
    secret.write_text(SECRET)
    target = serve("memory:size=8M", options=["--capture", path, "--user", "alice", "--secret-file", secret]
                   + (["--capture-no-secrets"] if hide else []))
    lunette.initiator("capacity", target.url(), "--user", "alice", "--secret-file", secret)
    port = target.port
    stop(target)
    assert_clean(path, port)
    values = re.findall(rb"CHAP_[CR]=0[xb]([^\0]+)", path.read_bytes())
    assert len(values) == 2
    assert all(set(value) <= set(b"0A=") for value in values) == hide


def test_only_sessions_of_the_pattern(serve, tmp_path):
    path = tmp_path / "some.pcapng"
    target = serve("memory:size=8M", options=["--capture", path, "--capture-session", "*:wanted"])
    lunette.initiator("capacity", target.url())
    lunette.initiator("capacity", target.url(), "--initiator-name", "iqn.2026-01.org.lunette:wanted")
    lunette.initiator("capacity", target.url())
    stop(target)
    lines, totals = check(path)
    assert totals["connections"] == 1
    connection = [one for one in lines if one["type"] == "connection"][0]
    assert connection["keys"]["InitiatorName"]["initiator"] == "iqn.2026-01.org.lunette:wanted"


def test_snapped_frames_keep_their_headers(serve, need, tmp_path):
    need("tshark")
    path = tmp_path / "snap.pcapng"
    target = serve("memory:size=64M", options=["--capture", path, "--capture-snap", "128", "--referee"])
    data = tmp_path / "data"
    data.write_bytes(os.urandom(4 * 1024 * 1024))
    lunette.initiator("copy", data, target.url())
    port = target.port
    stop(target)
    assert path.stat().st_size < 512 * 1024
    assert_clean(path, port, frames_cut=True)
    _, totals = check(path)
    assert totals["incomplete_pdus"] > 30 and totals["problem"] is None, totals
    # What is cut off is data: every header is judged, and none is a finding.
    assert totals["findings"] == 0, totals
    assert f"referee: {totals['pdus']} PDUs of" in target.stderr(), (totals, target.stderr())


@pytest.mark.parametrize("digests", ["none", "crc32c"])
def test_a_capture_that_starts_in_the_middle_is_read(serve, need, tmp_path, digests):
    """The login is not in it: PDUs are found again, with digests and without, and judged by what each shows by itself."""
    need("tshark")
    path, late = tmp_path / "all.pcapng", tmp_path / "late.pcap"
    target = serve("memory:size=64M", options=["--capture", path])
    data = tmp_path / "data"
    data.write_bytes(os.urandom(16 * 1024 * 1024))
    lunette.initiator("copy", data, target.url(), "--header-digest", digests, "--data-digest", digests)
    port = target.port
    stop(target)
    _, whole = check(path)
    lunette.run("tshark", "-r", path, "-Y", "frame.number > 30", "-F", "pcap", "-w", late)
    lines, totals = check(late, "--port", str(port))
    assert totals["partial_connections"] == 1 and totals["findings"] == 0, lines
    assert whole["pdus"] / 2 < totals["pdus"] < whole["pdus"], (whole, totals)
    assert totals["undecidable"] > 0


def test_a_ring_of_files_keeps_the_newest(serve, need, tmp_path):
    need("tshark")
    target = serve("memory:size=64M", options=["--capture", tmp_path / "ring.pcapng", "--capture-ring", "3:1M"])
    data = tmp_path / "data"
    data.write_bytes(os.urandom(8 * 1024 * 1024))
    lunette.initiator("copy", data, target.url())
    port = target.port
    stop(target)
    files = sorted(tmp_path.glob("ring.*.pcapng"))
    assert len(files) == 3 and files[-1].name > "ring.00007.pcapng", files
    for path in files:
        assert path.stat().st_size <= 1024 * 1024 + 4096
        assert tshark(path, "-Y", "_ws.malformed || tcp.checksum.status == 0", port=port) == ""
        assert drops(path) == 0


def test_an_overrun_drops_whole_pdus_and_says_so(serve, need, tmp_path):
    need("tshark")
    path = tmp_path / "full.pcapng"
    target = serve("memory:size=64M", options=["--capture", path, "--capture-buffer", "64K"])
    data = tmp_path / "data"
    data.write_bytes(os.urandom(16 * 1024 * 1024))
    lunette.initiator("copy", data, target.url())
    lunette.initiator("verify", target.url(), data)  # nothing happened to the data
    port = target.port
    stop(target)
    dropped = drops(path)
    assert dropped > 0
    assert tshark(path, "-Y", "_ws.malformed || tcp.checksum.status == 0", port=port) == ""
    assert "were dropped" in tshark(path, "-Y", "frame.comment", "-T", "fields", "-e", "frame.comment", port=port)
    _, totals = check(path)
    assert totals["gaps"] > 0 and totals["incomplete_pdus"] == 0 and totals["skipped_bytes"] == 0, totals


def test_a_killed_target_leaves_a_readable_file(serve, tmp_path):
    path = tmp_path / "killed.pcapng"
    target = serve("memory:size=64M", options=["--capture", path])
    lunette.initiator("capacity", target.url())
    time.sleep(0.3)
    target.expect_exit = None
    target.process.send_signal(signal.SIGKILL)
    target.process.wait()
    _, totals = check(path)
    assert totals["pdus"] > 4 and totals["problem"] is None


@pytest.mark.parametrize("option,value", [("--capture-snap", "1"), ("--capture-ring", "many"), ("--capture-buffer", "1")])
def test_bad_values_are_refused(option, value, tmp_path):
    done = lunette.target("serve", "--target", lunette.IQN, "--lun", "memory:size=1M", "--portal", "127.0.0.1:0", "--capture",
                          tmp_path / "x.pcapng", option, value, check=False)
    assert done.returncode == 2 and option in done.stderr, done.stderr


def test_options_of_the_capture_need_a_capture():
    done = lunette.target("serve", "--target", lunette.IQN, "--lun", "memory:size=1M", "--portal", "127.0.0.1:0",
                          "--capture-no-secrets", check=False)
    assert done.returncode == 2 and "--capture FILE" in done.stderr, done.stderr


def test_check_refuses_what_is_no_capture(tmp_path):
    path = tmp_path / "text"
    path.write_text("this is no capture")
    done = lunette.run(lunette.BIN / "lunette-conformance", "check", path, check=False)
    assert done.returncode == 2 and "offset 0: neither pcapng nor pcap" in done.stderr
    done = lunette.run(lunette.BIN / "lunette-conformance", "check", tmp_path / "missing", check=False)
    assert done.returncode == 2 and "No such file" in done.stderr


def test_tcpdump_sees_the_same(serve, need, tmp_path):
    """The wire itself, captured by somebody else: the referee finds the same PDUs in it."""
    need("tcpdump")
    ours, theirs = tmp_path / "ours.pcapng", tmp_path / "theirs.pcap"
    target = serve("memory:size=64M", options=["--capture", ours])
    dump = subprocess.Popen(["tcpdump", "-i", "lo", "-s", "0", "-B", "65536", "-U", "--immediate-mode", "-w", theirs, f"tcp port {target.port}"],
                            stderr=subprocess.PIPE, text=True)
    try:
        line = dump.stderr.readline()
        while line and "listening" not in line:
            if "permi" in line.lower() or "No such device" in line:
                pytest.skip(f"tcpdump may not listen here: {line}")
            line = dump.stderr.readline()
        data = tmp_path / "data"
        data.write_bytes(os.urandom(256 * 1024))
        lunette.initiator("copy", data, target.url(), "--header-digest", "crc32c", "--data-digest", "crc32c")
        time.sleep(0.5)
    finally:
        dump.send_signal(signal.SIGINT)
        dump.wait(20)
    port = target.port
    stop(target)
    _, mine = check(ours)
    _, wire = check(theirs, "--port", str(port))
    assert wire["pdus"] == mine["pdus"] and wire["gaps"] == 0, (wire, mine)
    assert wire["findings"] == mine["findings"] == 0


def test_the_target_tells_what_its_referee_found(serve, tmp_path):
    """Each finding with requirement, session, connection, PDU, expected and seen; at the end how often, and totals."""
    target = serve("memory:size=8M", options=["--referee"])
    r = raw.Raw(target.port, target.iqn)
    r.login(cid=5)
    for _ in range(3):
        rest = struct.pack(">I", 7) + r.sns(True)  # no NOP-In ever had this TTT
        r.send(raw.bhs(0x00, 0x80, itt=raw.NONE, rest=rest, immediate=True))
    r.nop()
    r.close()
    time.sleep(0.3)
    stop(target)
    told = target.stderr()
    line = re.findall(r"R7143-11.18.2-01 initiator: session 1 \(TSIH \d+\), conn \d+ \(CID 5\) PDU (\d+): .*; expected .+, seen .+", told)
    assert line == ["3", "4", "5"], told
    assert re.search(r"127\.0\.0\.1:\d+: connection \d+ is over: 7 PDUs, 3 findings", told), told
    assert "R7143-11.18.2-01 initiator: 3 findings: " in told
    assert re.search(r"7 PDUs of 1 connections: 3 findings, \d+ undecidable, 1 sessions", told), told


def test_initiator_captures_and_referees_its_own_connections(serve, tmp_path):
    """The initiator's file has what the target's would have: every PDU, nothing malformed, no finding."""
    target = serve("memory:size=64M")
    source, file = tmp_path / "source", tmp_path / "initiator.pcapng"
    source.write_bytes(bytes(range(256)) * 8192)
    done = lunette.initiator("copy", source, target.url(), "--capture", file, "--referee", "--connections", 3)
    told = re.search(r"referee: (\d+) PDUs of (\d+) connections: 0 findings", done.stderr)
    assert told and int(told[1]) > 20, done.stderr
    checked = lunette.run(lunette.BIN / "lunette-conformance", "check", "--vantage", "initiator", "--json", file)
    totals = json.loads(checked.stdout.splitlines()[-1])
    assert totals["findings"] == 0 and totals["pdus"] == int(told[1]), checked.stdout
