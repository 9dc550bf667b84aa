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
    target = serve("memory:size=64M", options=["--capture", path, "--capture-snap", "128"])
    data = tmp_path / "data"
    data.write_bytes(os.urandom(4 * 1024 * 1024))
    lunette.initiator("copy", data, target.url())
    port = target.port
    stop(target)
    assert path.stat().st_size < 512 * 1024
    assert_clean(path, port, frames_cut=True)
    _, totals = check(path)
    assert totals["incomplete_pdus"] > 30 and totals["problem"] is None, totals


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
