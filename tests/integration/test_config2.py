"""Limits, redirection, rules for initiators and what initiators are told (the target's management verbs, part two).

Goal: every setting can be made before and during service, is shown, is kept, has its effect on the next login, and
what changes under a session is told to it. Method: the real program on state directories of the test's own, and raw
initiators.
"""

import json
import signal
import struct
import time

import pytest

import lunette
import raw

IQN = "iqn.2026-01.org.lunette:disk1"
ASYNC, TEXT_RESPONSE, LOGOUT_RESPONSE = 0x32, 0x24, 0x26


@pytest.fixture
def state(tmp_path):
    state = tmp_path / "state"
    lunette.target("create", IQN, "--lun", "0", "--size", "16M", "--state", state)
    lunette.target("portal", "add", "127.0.0.1:0", "--state", state)
    return state


def verb(state, *args, **kw):
    return lunette.target(*args, "--state", state, **kw)


def refused(state, *args):
    done = verb(state, *args, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done
    return done.stderr


def shown(state):
    return json.loads(verb(state, "show", IQN, "--json").stdout)


def session(port, *keys, clear=True):
    peer = raw.Raw(port, IQN)
    peer.answer = peer.login(*keys)
    if clear:
        peer.clear_unit_attention()
    return peer


def text(peer, *pairs, itt=0x9000):
    data = raw.text(*pairs) if pairs else b""
    rest = struct.pack(">I", raw.NONE) + peer.sns(True) + bytes(16)
    peer.send(raw.bhs(0x04, 0x80, 0, 0, len(data), 0, itt, rest, immediate=True), data)
    answer = peer.recv()
    assert answer.opcode == TEXT_RESPONSE, answer
    return answer


def expect_async(peer, event):
    pdu = peer.recv()
    assert pdu.opcode == ASYNC and pdu.header[36] == event, pdu
    return pdu


def closed(peer):
    try:
        peer.recv()
    except raw.Closed:
        return True
    return False


# ---- limits ----

@pytest.mark.parametrize("running", [False, True], ids=["offline", "online"])
def test_limits_are_kept_and_have_effect(state, service, running):
    target = service(state) if running else None
    verb(state, "set", IQN, "max-connections=4", "recovery-level=1", "task-reporting=ResponseFence,RFC3720",
         "time2wait=3", "time2retain=40s", "max-burst=64K", "first-burst=16K", "max-recv=128K", "initial-r2t=yes",
         "immediate-data=no", "header-digest=none", "protocol-level=1")
    limits = shown(state)["limits"]
    assert limits["max_connections"] == 4 and limits["time2retain"] == 40 and limits["initial_r2t"] is True
    assert "task-reporting=ResponseFence,RFC3720" in verb(state, "show", IQN).stdout
    target = target or service(state)
    peer = session(target.port, "MaxConnections=16", "ErrorRecoveryLevel=2", "DefaultTime2Wait=0",
                   "DefaultTime2Retain=60", "MaxBurstLength=1048576", "FirstBurstLength=65536", "InitialR2T=No",
                   "ImmediateData=Yes", "HeaderDigest=CRC32C,None",
                   "TaskReporting=FastAbort,ResponseFence,RFC3720", "iSCSIProtocolLevel=2")
    keys = peer.answer.keys()
    for pair in ("MaxConnections=4", "DefaultTime2Wait=3", "DefaultTime2Retain=40",
                 "MaxBurstLength=65536", "FirstBurstLength=16384", "InitialR2T=Yes", "ImmediateData=No",
                 "ErrorRecoveryLevel=1", "HeaderDigest=None", "TaskReporting=ResponseFence", "iSCSIProtocolLevel=1",
                 "MaxRecvDataSegmentLength=131072"):
        assert pair in keys, (pair, keys)
    info = json.loads(verb(state, "session", "list", "--json").stdout)["sessions"][0]
    assert info["max_connections"] == 4 and info["task_reporting"] == "ResponseFence" and info["protocol_level"] == 1
    peer.close()
    verb(state, "set", IQN, *[name + "=default" for name in (
        "max-connections", "recovery-level", "task-reporting", "time2wait", "time2retain", "max-burst", "first-burst",
        "max-recv", "initial-r2t", "immediate-data", "header-digest", "protocol-level")])
    assert shown(state)["limits"] == {}
    peer = session(target.port, "MaxConnections=16", "TaskReporting=FastAbort,ResponseFence,RFC3720",
                   "iSCSIProtocolLevel=2")
    assert {"MaxConnections=8", "TaskReporting=FastAbort", "iSCSIProtocolLevel=2"} <= set(peer.answer.keys())
    peer.close()


@pytest.mark.parametrize("word, setting", [
    ("65", "max-connections=65"), ("3", "recovery-level=3"), ("Fast", "task-reporting=Fast"),
    ("1500ms", "time2wait=1500ms"), ("3601", "time2retain=3601"), ("512", "max-burst=511"), ("maybe", "initial-r2t=maybe"),
    ("nonsense", "nonsense=1"), ("NAME=VALUE", "max-connections"), ("first_burst", "first-burst=2M"),
])
def test_wrong_limits_change_nothing(state, word, setting):
    verb(state, "set", IQN, "max-burst=1M")
    text_ = refused(state, "set", IQN, "max-outstanding-r2t=3", setting)
    assert word in text_ or word.split("=")[0] in text_
    assert shown(state)["limits"] == {"max_burst": 1048576}


def test_limits_on_the_command_line(serve):
    target = serve("memory:size=16M", iqn=IQN, options=("--max-connections", "3", "--task-reporting", "RFC3720",
                                                        "--protocol-level", "1", "--time2wait", "5"))
    peer = session(target.port, "MaxConnections=64", "TaskReporting=FastAbort,ResponseFence,RFC3720",
                   "iSCSIProtocolLevel=2", "DefaultTime2Wait=0")
    assert {"MaxConnections=3", "TaskReporting=RFC3720", "iSCSIProtocolLevel=1",
            "DefaultTime2Wait=5"} <= set(peer.answer.keys())
    peer.close()
    done = lunette.target("serve", "--target", IQN, "--lun", "memory:size=1M", "--max-connections", "65", check=False)
    assert done.returncode == 2 and "--max-connections" in done.stderr


def test_config_file_with_a_wrong_limit_is_refused(state):
    path = state / "config.json"
    tree = json.loads(path.read_text())
    tree["targets"][0]["limits"] = {"max_conections": 2}
    path.write_text(json.dumps(tree))
    done = verb(state, "list", check=False)
    assert done.returncode == 1 and "max_conections" in done.stderr and "targets[0].limits" in done.stderr


# ---- redirection ----

def login_status(port, *keys):
    peer = raw.Raw(port, IQN)
    peer.login_send(*peer.names(*keys))
    answer = peer.recv()
    peer.close()
    return answer.status, answer.keys()


def test_redirection(state, service):
    verb(state, "portal", "add", "127.0.0.2:0", "--group", "2")
    target = service(state, count=2)
    ports = {p.rsplit(":", 1)[0]: int(p.rsplit(":", 1)[1]) for p in target.portals}
    assert login_status(ports["127.0.0.1"])[0] == (0, 0)
    verb(state, "redirect", "set", IQN, "192.0.2.7:3261", "--group", "1")
    assert login_status(ports["127.0.0.1"]) == ((1, 1), ["TargetAddress=192.0.2.7:3261"])
    verb(state, "redirect", "set", IQN, "[2001:db8::7]", "--permanent")
    assert login_status(ports["127.0.0.1"])[0] == (1, 1)  # the group's own word stands
    assert shown(state)["redirects"] == [{"address": "192.0.2.7:3261", "group": 1},
                                         {"address": "[2001:db8::7]", "permanent": True}]
    assert "redirected for good to [2001:db8::7]" in verb(state, "show", IQN).stdout
    assert "redirected" in verb(state, "list").stdout
    verb(state, "redirect", "clear", IQN, "--group", "1")
    assert login_status(ports["127.0.0.1"]) == ((1, 2), ["TargetAddress=[2001:db8::7]"])
    verb(state, "redirect", "clear", IQN)
    assert login_status(ports["127.0.0.1"])[0] == (0, 0)
    assert "is not redirected" in refused(state, "redirect", "clear", IQN)
    assert "portal group tag" in refused(state, "redirect", "set", IQN, "192.0.2.7:3260,1")
    assert "no address" in refused(state, "redirect", "set", IQN, "not an address")


def test_redirection_survives_a_restart(state, service):
    verb(state, "redirect", "set", IQN, "storage.example:3260")
    target = service(state)
    assert login_status(target.port) == ((1, 1), ["TargetAddress=storage.example:3260"])


# ---- rules for initiators ----

def test_rules_decide_who_is_pinged(state, service):
    verb(state, "initiator", "set", "iqn.2010-04.org.ipxe:*", "--nop-interval", "never")
    verb(state, "initiator", "set", "iqn.2026-01.org.lunette:*", "--nop-timeout", "30s", "--target-reset", "no")
    target = service(state, "--nop-interval", "1s")
    listed = verb(state, "initiator", "list").stdout
    assert "iqn.2010-04.org.ipxe:*  never pinged" in listed and "may not reset the target" in listed
    quiet = raw.Raw(target.port, IQN)
    quiet.initiator = "iqn.2010-04.org.ipxe:boot"
    quiet.login()
    peer = session(target.port)
    ping = peer.recv()
    assert ping.opcode == 0x20 and ping.itt == raw.NONE
    # a target reset is not for this one: response 6
    rest = struct.pack(">I", raw.NONE) + peer.sns(True) + bytes(16)
    peer.send(raw.bhs(0x02, 0x86, itt=0x77, rest=rest, immediate=True))
    assert peer.recv().header[2] == 6
    quiet.sock.settimeout(2.5)
    with pytest.raises(TimeoutError):
        quiet.recv()
    verb(state, "initiator", "remove", "iqn.2010-04.org.ipxe:*")
    assert len(json.loads(verb(state, "initiator", "list", "--json").stdout)["initiators"]) == 1
    quiet.sock.settimeout(8)
    assert quiet.recv().opcode == 0x20  # now it is treated like everybody
    peer.close()
    quiet.close()
    assert "there is no rule" in refused(state, "initiator", "remove", "iqn.2010-04.org.ipxe:*")
    assert "say what is different" in refused(state, "initiator", "set", "iqn.2010-04.org.ipxe:*")


# ---- what initiators are told ----

def test_changes_are_told(state, service):
    target = service(state)
    peer = session(target.port)
    verb(state, "lun", "add", IQN, "1=memory:size=1M")
    pdu = expect_async(peer, 0)
    assert pdu.data[2 + 12:2 + 14] == b"\x3f\x0e"
    verb(state, "lun", "resize", IQN, "0", "32M")
    pdu = expect_async(peer, 0)
    assert pdu.data[2 + 12:2 + 14] == b"\x2a\x09" and pdu.header[8:16] == bytes(8)
    verb(state, "set", IQN, "max-recv=1M")
    pdu = expect_async(peer, 4)
    assert "MaxRecvDataSegmentLength=1048576" in text(peer).keys()
    number = json.loads(verb(state, "session", "list", "--json").stdout)["sessions"][0]["id"]
    verb(state, "session", "notify", str(number), "maintenance at noon", "--code", "7")
    pdu = expect_async(peer, 255)
    assert pdu.header[37] == 7 and pdu.data == b"\0\0maintenance at noon"
    assert "no session" in refused(state, "session", "notify", str(number + 1), "hello")
    verb(state, "session", "drop", str(number))
    expect_async(peer, 3)
    assert closed(peer)
    peer.close()


def test_stop_waits_for_logouts(state, service):
    target = service(state, "--stop-wait", "20s")
    peer = session(target.port)
    target.process.send_signal(signal.SIGTERM)
    pdu = expect_async(peer, 1)
    assert struct.unpack(">H", pdu.header[42:44])[0] == 20
    # nothing new is taken, the logout is
    peer.command(bytes(6), 0x80)
    assert peer.recv().opcode == 0x3F
    rest = struct.pack(">I", 0) + peer.sns(True) + bytes(16)
    peer.send(raw.bhs(0x06, 0x80, itt=0x55, rest=rest, immediate=True))
    assert peer.recv().opcode == LOGOUT_RESPONSE and closed(peer)
    peer.close()
    begun = time.monotonic()
    target.process.wait(10 * lunette.SLOW)
    assert time.monotonic() - begun < 8 * lunette.SLOW


def test_stop_does_not_wait_for_ever(state, service):
    target = service(state, "--stop-wait", "1s")
    peer = session(target.port)
    target.process.send_signal(signal.SIGTERM)
    expect_async(peer, 1)
    expect_async(peer, 1)  # once more, at half of the time
    expect_async(peer, 3)
    assert closed(peer)
    peer.close()
    target.process.wait(10 * lunette.SLOW)
