"""Malformed and misplaced PDUs and keys (what must be seen 6).

Goal: each wrong input gets the one answer that the RFC gives it, and never disturbs another session. Method: a table of
cases on one target; each case has a connection of its own, says what it sends and what must come back; before and after
each case a bystander session writes and reads back a block.

Expected answers: login(class, detail): Login Response with that status, then close. closed: the connection ends without
another PDU. reject(reason). silent: nothing comes back and the connection still answers a ping. sense(key, asc, ascq).
key("Key=Value"): the login answers so. tmf(code), logout(code).
"""

import os
import socket
import struct

import pytest

import lunette
from raw import NONE, Closed, Raw, bhs, text

IQN = "iqn.2026-01.org.lunette:hostile"
CASES = []


def case(expect, *proves):
    def add(function):
        CASES.append(pytest.param(function, expect, id=function.__name__,
                                  marks=[pytest.mark.proves(p, "target") for p in proves]))
        return function

    return add


def login(status_class, detail):
    def check(raw):
        answer = raw.recv()
        assert answer.opcode == 0x23, answer
        assert answer.status == (status_class, detail), (answer.status, answer)
        with pytest.raises(Closed):
            raw.recv()

    return check


def closed(raw):
    with pytest.raises(Closed):
        answer = raw.recv()
        raise AssertionError(f"answered {answer}")


def session_dropped(raw):
    """Told by an asynchronous message, unless the bytes that nobody read any more cost the connection before."""
    with pytest.raises(Closed):
        answer = raw.recv()
        assert answer.opcode == 0x32 and answer.header[36] == 3, answer
        raw.recv()


def reject(reason, then_closed=False):
    def check(raw):
        answer = raw.recv()
        assert answer.opcode == 0x3F and answer.header[2] == reason, answer
        assert len(answer.data) >= 48, "the header of the rejected PDU comes back"
        if then_closed:
            closed(raw)
        else:
            raw.nop()

    return check


def silent(raw):
    assert raw.nop() == []


def good(raw):
    answer = raw.recv()
    assert answer.opcode == 0x21 and (answer.header[2], answer.header[3]) == (0, 0), (answer, answer.data)
    raw.nop()


def sense(sense_key, asc, ascq):
    def check(raw):
        answer = raw.recv()
        assert answer.opcode == 0x21 and answer.header[3] == 2, answer
        assert answer.sense() == (sense_key, asc, ascq), answer.sense()
        raw.nop()

    return check


def key(expected):
    def check(raw):
        answer = raw.recv()
        assert answer.opcode == 0x23 and answer.status == (0, 0), (answer, answer.status)
        assert expected in answer.keys(), answer.keys()

    return check


def tmf(code):
    def check(raw):
        answer = raw.recv()
        assert answer.opcode == 0x22 and answer.header[2] == code, answer
        raw.nop()

    return check


def logout(code):
    def check(raw):
        answer = raw.recv()
        assert answer.opcode == 0x26 and answer.header[2] == code, answer
        raw.nop()

    return check


def logout_failed(code):
    """A logout that fails gives the connection up (RFC 7143 8.1.2, T17)."""
    def check(raw):
        answer = raw.recv()
        assert answer.opcode == 0x26 and answer.header[2] == code, answer
        with pytest.raises(Closed):
            raw.recv()

    return check


def either(*checks):
    """Several answers are right; the first PDU decides which."""
    return checks


# ---- before login ----
@case(closed)
def nop_before_login(raw):
    raw.send(bhs(0x00, 0x80, itt=1, rest=struct.pack(">III", NONE, 1, 0), immediate=True))


@case(closed)
def scsi_command_before_login(raw):
    raw.command(bytes(6), 0x80)


@case(closed)
def text_request_before_login(raw):
    data = text("SendTargets=All")
    raw.send(bhs(0x04, 0x80, data_len=len(data), itt=1, rest=struct.pack(">III", NONE, 1, 0)), data)


@case(closed)
def data_out_before_login(raw):
    raw.data_out(1, NONE, b"x" * 512)


@case(closed)
def logout_before_login(raw):
    raw.send(bhs(0x06, 0x80, itt=1, rest=struct.pack(">HHII", 0, 0, 1, 0), immediate=True))


@case(closed)
def unknown_opcode_before_login(raw):
    raw.send(bhs(0x1E, 0x80))


@case(closed)
def target_opcode_before_login(raw):
    raw.send(bhs(0x23, 0x80))


@case(closed)
def http_request(raw):
    raw.sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: scanner/1.0 (not an initiator)\r\n\r\n")


@case(closed)
def all_ones(raw):
    raw.sock.sendall(b"\xff" * 4096)


@case(either(closed, login(2, 0)))
def login_with_huge_data_segment(raw):
    raw.send(raw.login_pdu(b"")[:5] + b"\xff\xff\xff" + raw.login_pdu(b"")[8:])
    try:
        raw.sock.sendall(b"A=" + b"x" * 65536)
    except ConnectionError:
        pass


# ---- login: header fields ----
@case(login(2, 5), "R7143-11.12.4-02")
def version_range_without_zero(raw):
    raw.login_send(*raw.names(), vmax=3, vmin=1)


@case(login(2, 0), "R7143-11.12.3-01")
def login_in_stage_two(raw):
    raw.login_send(*raw.names(), csg=2)


@case(login(2, 0))
def login_to_stage_two(raw):
    raw.login_send(*raw.names(), csg=1, nsg=2)


@case(login(2, 0))
def login_in_full_feature_stage(raw):
    raw.login_send(*raw.names(), csg=3, nsg=3)


@case(login(2, 0), "R7143-6.3-18")
def login_transit_backwards(raw):
    raw.login_send(*raw.names(), csg=1, nsg=0)


@case(login(2, 0), "R7143-6.3-18")
def login_transit_to_itself(raw):
    raw.login_send(*raw.names(), csg=1, nsg=1)


@case(login(2, 0), "R7143-6.2-01")
def login_t_and_c_together(raw):
    raw.login_send(*raw.names(), more=True)


@case(login(2, 10), "R7143-6.3.1-01")
def login_to_a_session_that_does_not_exist(raw):
    raw.login_send(*raw.names(), tsih=0x4242)


@case(login(2, 0))
def login_stage_goes_back(raw):
    raw.login_send(*raw.names(), csg=1, transit=False)
    raw.recv()
    raw.login_send(csg=0, nsg=1)


@case(login(2, 0), "R7143-6.3-01")
def login_task_tag_changes(raw):
    raw.login_send(*raw.names(), csg=1, transit=False)
    raw.recv()
    raw.login_send(csg=1, itt=0x99)


@case(login(2, 0))
def login_isid_changes(raw):
    raw.login_send(*raw.names(), csg=1, transit=False)
    raw.recv()
    raw.login_send(csg=1, isid=bytes(6))


@case(login(2, 11))
def scsi_command_in_mid_login(raw):
    raw.login_send(*raw.names(), csg=1, transit=False)
    raw.recv()
    raw.command(bytes(6), 0x80)


@case(login(2, 11))
def nop_in_mid_login(raw):
    raw.login_send(*raw.names(), csg=0, nsg=1, transit=False)
    raw.recv()
    raw.send(bhs(0x00, 0x80, itt=5, rest=struct.pack(">III", NONE, 1, 0), immediate=True))


# ---- login: keys ----
@case(login(2, 7), "R7143-6.3-08", "R7143-11.13.5-10")
def login_without_initiator_name(raw):
    raw.login_send(f"TargetName={raw.iqn}", "SessionType=Normal")


@case(login(2, 7), "R7143-11.13.5-10")
def login_without_target_name(raw):
    raw.login_send(f"InitiatorName={raw.initiator}", "SessionType=Normal")


@case(login(2, 3), "R7143-11.13.5-07")
def login_to_an_unknown_target(raw):
    raw.login_send(f"InitiatorName={raw.initiator}", "TargetName=iqn.2026-01.org.lunette:none", "SessionType=Normal")


@case(login(2, 9))
def login_with_unknown_session_type(raw):
    raw.login_send(f"InitiatorName={raw.initiator}", f"TargetName={raw.iqn}", "SessionType=Picnic")


@case(login(2, 0))
def login_with_a_name_that_is_none(raw):
    raw.login_send("InitiatorName=\x01\x02", f"TargetName={raw.iqn}", "SessionType=Normal")


@case(login(2, 0))
def login_with_a_name_of_300_bytes(raw):
    raw.login_send("InitiatorName=iqn.2026-01.org." + "x" * 285, f"TargetName={raw.iqn}", "SessionType=Normal")


@case(login(2, 0), "R7143-6.1-04")
def key_without_equals_sign(raw):
    raw.login_send(*raw.names("HeaderDigest"))


@case(login(2, 0), "R7143-6.1-06")
def key_name_of_64_bytes(raw):
    raw.login_send(*raw.names("X" * 64 + "=1"))


@case(login(2, 0))
def value_of_300_bytes(raw):
    raw.login_send(*raw.names("InitiatorAlias=" + "v" * 300))


@case(login(2, 0))
def key_name_empty(raw):
    raw.login_send(*raw.names("=1"))


@case(login(2, 0), "R7143-6.1-02")
def text_without_final_nul(raw):
    data = text(*raw.names()) + b"HeaderDigest=None"
    raw.send(raw.login_pdu(data), data)


@case(login(2, 0), "R7143-6.3-21", "R7143-6.3-22")
def key_given_twice(raw):
    raw.login_send(*raw.names("HeaderDigest=None", "HeaderDigest=CRC32C"))


@case(login(2, 0), "R7143-6.3-22")
def initiator_name_given_twice(raw):
    raw.login_send(*raw.names("InitiatorName=iqn.2026-01.org.lunette:other"))


@case(login(2, 0), "R7143-6.3-13")
def digest_key_in_the_security_stage(raw):
    raw.login_send(*raw.names("HeaderDigest=None"), csg=0, nsg=1)


@case(login(2, 0), "R7143-6.3-13")
def auth_key_in_the_operational_stage(raw):
    raw.login_send(*raw.names("AuthMethod=CHAP"), csg=1)


@case(login(2, 0))
def chap_key_without_auth_method(raw):
    raw.login_send(*raw.names("CHAP_A=5"), csg=0, nsg=1)


@case(login(2, 0), "R7143-6.2-16")
def proposing_reject(raw):
    raw.login_send(*raw.names("MaxBurstLength=Reject"))


@case(key("AuthMethod=Reject"), "R7143-6.3.2-03")
def only_unknown_auth_methods(raw):
    raw.login_send(*raw.names("AuthMethod=KRB5,SRP"), csg=0, nsg=1)


@case(key("MaxBurstLength=Reject"))
def number_out_of_range(raw):
    raw.login_send(*raw.names("MaxBurstLength=99999999999"))


@case(key("ErrorRecoveryLevel=Reject"))
def recovery_level_seven(raw):
    raw.login_send(*raw.names("ErrorRecoveryLevel=7"))


@case(key("InitialR2T=Reject"), "R7143-6.1-08")
def boolean_that_is_none(raw):
    raw.login_send(*raw.names("InitialR2T=Maybe"))


@case(key("DefaultTime2Wait=Reject"))
def number_that_is_none(raw):
    raw.login_send(*raw.names("DefaultTime2Wait=soon"))


@case(key("HeaderDigest=Reject"))
def only_unknown_digests(raw):
    raw.login_send(*raw.names("HeaderDigest=MD4"))


@case(key("HeaderDigest=None"), "R7143-6.2.1-03")
def unknown_digest_before_a_known_one(raw):
    raw.login_send(*raw.names("HeaderDigest=MD4,None"))


@case(key("X-org.lunette.test=NotUnderstood"), "R7143-6.2-12")
def private_key(raw):
    raw.login_send(*raw.names("X-org.lunette.test=1"))


@case(key("Banana=NotUnderstood"), "R7143-6.2-12")
def unknown_public_key(raw):
    raw.login_send(*raw.names("Banana=yellow"))


@case(key("headerdigest=NotUnderstood"), "R7143-6.1-01")
def lower_case_key(raw):
    raw.login_send(*raw.names("headerdigest=None"))


@case(login(2, 0))
def receive_length_below_the_minimum(raw):
    raw.login_send(*raw.names("MaxRecvDataSegmentLength=100"))


@case(either(login(2, 0), login(3, 2), closed))
def text_continued_without_end(raw):
    data = b"A" * 8000
    for _ in range(200):
        raw.send(raw.login_pdu(data, transit=False, more=True), data)
        answer = raw.recv()
        if answer.status != (0, 0):
            raw.recv = lambda seen=[answer]: seen.pop() if seen else Raw.recv(raw)
            return
    raise AssertionError("1.6 MB of login text was accepted")


# ---- full feature phase: placement and headers ----
@case(reject(5), "R7143-11.17.1-01")
def unknown_opcode(raw):
    raw.login()
    raw.send(bhs(0x1D, 0x80, itt=5))


@case(reject(5))
def opcode_of_a_target(raw):
    raw.login()
    raw.send(bhs(0x21, 0x80, itt=5))


@case(either(reject(4), reject(4, True), closed))
def login_request_in_full_feature_phase(raw):
    raw.login()
    raw.login_send(*raw.names())


@case(either(reject(3), reject(4)))
def snack_at_recovery_level_zero(raw):
    raw.login()
    raw.send(bhs(0x10, 0x81, itt=5, rest=struct.pack(">IIIIIII", NONE, 0, raw.exp_stat_sn, 0, 0, 0, 1)))


@case(session_dropped)
def data_segment_longer_than_declared(raw):
    raw.login("MaxRecvDataSegmentLength=8192")
    raw.send(bhs(0x00, 0x80, data_len=0xFFFFFF, itt=9, rest=struct.pack(">I", NONE) + raw.sns(True), immediate=True))
    try:
        raw.sock.sendall(b"z" * 65536)
    except ConnectionError:
        pass


@case(closed, "R7143-7.8-01")
def header_digest_wrong(raw):
    raw.login("HeaderDigest=CRC32C")
    raw.nop()
    raw.send(bhs(0x00, 0x80, itt=9, rest=struct.pack(">I", NONE) + raw.sns(True), immediate=True), break_header=True)


@case(reject(2), "R7143-7.8-02")
def data_digest_wrong_on_a_ping(raw):
    raw.login("DataDigest=CRC32C")
    rest = struct.pack(">I", NONE) + raw.sns(True)
    raw.send(bhs(0x00, 0x80, data_len=4, itt=9, rest=rest, immediate=True), b"ping", break_data=True)


@case(reject(2), "R7143-7.8-02")
def data_digest_wrong_on_immediate_data(raw):
    raw.login("DataDigest=CRC32C", "ImmediateData=Yes")
    raw.clear_unit_attention()
    raw.command(raw.write10(0, 1), 0xA1, 512, b"d" * 512, break_data=True)
    raw.cmd_sn -= 1  # R7143-7.3-04: the rejected command's CmdSN counts as not received


@case(silent, "R7143-4.2.2.1-13")
def cmd_sn_above_the_window(raw):
    raw.login()
    raw.command(bytes(6), 0x80, cmd_sn=raw.cmd_sn + 100000)


@case(silent, "R7143-4.2.2.1-13")
def cmd_sn_below_the_window(raw):
    raw.login()
    raw.command(bytes(6), 0x80, cmd_sn=(raw.cmd_sn - 1) & NONE)


@case(either(reject(4), reject(9)))
def text_with_f_and_c(raw):
    raw.login()
    data = text("SendTargets=All")
    raw.send(bhs(0x04, 0xC0, data_len=len(data), itt=5, rest=struct.pack(">I", NONE) + raw.sns()), data)


@case(either(reject(4), reject(9)))
def text_with_unknown_transfer_tag(raw):
    raw.login()
    raw.send(bhs(0x04, 0x80, itt=5, rest=struct.pack(">I", 0x1234) + raw.sns()))


@case(either(reject(4), reject(9)))
def text_key_without_equals_sign(raw):
    raw.login()
    data = text("SendTargets")
    raw.send(bhs(0x04, 0x80, data_len=len(data), itt=5, rest=struct.pack(">I", NONE) + raw.sns()), data)


@case(either(reject(4), reject(9)))
def login_only_key_in_full_feature_phase(raw):
    raw.login()
    data = text("HeaderDigest=CRC32C")
    raw.send(bhs(0x04, 0x80, data_len=len(data), itt=5, rest=struct.pack(">I", NONE) + raw.sns()), data)


@case(reject(4), "R7143-6.4-12")
def text_key_twice(raw):
    raw.login()
    data = text("MaxRecvDataSegmentLength=8192", "MaxRecvDataSegmentLength=16384")
    raw.send(bhs(0x04, 0x80, data_len=len(data), itt=5, rest=struct.pack(">I", NONE) + raw.sns()), data)


# ---- task management, logout ----
def task_management(raw, function, lun=0, ref=NONE, ref_cmd_sn=0):
    rest = struct.pack(">I", ref) + raw.sns(True) + struct.pack(">II", ref_cmd_sn, 0)
    raw.send(bhs(0x02, 0x80 | function, lun=lun << 48, itt=raw.next_itt(), rest=rest, immediate=True))


@case(either(tmf(5), tmf(255)))
def task_management_function_unknown(raw):
    raw.login()
    task_management(raw, 99)


@case(tmf(4), "R7143-7.2.2-09")
def task_reassign_at_recovery_level_zero(raw):
    raw.login()
    task_management(raw, 8, ref=7)


@case(tmf(2))
def lun_reset_of_an_absent_lun(raw):
    raw.login()
    task_management(raw, 5, lun=77)


@case(either(tmf(0), tmf(1)))
def abort_of_an_unknown_task(raw):
    raw.login()
    task_management(raw, 1, ref=0xABCD, ref_cmd_sn=raw.cmd_sn - 1)


@case(either(reject(4), reject(9)))
def logout_with_unknown_reason(raw):
    raw.login()
    raw.send(bhs(0x06, 0x80 | 5, itt=raw.next_itt(), rest=struct.pack(">HH", 0, 0) + raw.sns(True), immediate=True))


@case(logout(1))
def logout_of_an_unknown_connection(raw):
    raw.login()
    raw.send(bhs(0x06, 0x80 | 1, itt=raw.next_itt(), rest=struct.pack(">HH", 77, 0) + raw.sns(True), immediate=True))


@case(logout_failed(2))
def logout_for_recovery_at_level_zero(raw):
    raw.login()
    raw.send(bhs(0x06, 0x80 | 2, itt=raw.next_itt(), rest=struct.pack(">HH", 0, 0) + raw.sns(True), immediate=True))


# ---- SCSI commands ----
@case(sense(5, 0x20, 0))
def scsi_opcode_unknown(raw):
    raw.login()
    raw.clear_unit_attention()
    raw.command(b"\xc5", 0x80)


@case(sense(5, 0x25, 0))
def scsi_lun_absent(raw):
    raw.login()
    raw.command(raw.read10(0, 1), 0xC1, 512, lun=9)


@case(sense(5, 0x21, 0))
def scsi_read_beyond_the_end(raw):
    raw.login()
    raw.clear_unit_attention()
    raw.command(raw.read10(0x7FFFFFFF, 1), 0xC1, 512)


@case(sense(5, 0x21, 0))
def scsi_write_beyond_the_end_with_unsolicited_data(raw):
    raw.login("ImmediateData=No", "InitialR2T=No", "FirstBurstLength=65536")
    raw.clear_unit_attention()
    itt = raw.command(raw.write10(0x7FFFFFFF, 8), 0x21, 4096)
    raw.data_out(itt, NONE, b"u" * 4096)


@case(sense(5, 0x24, 0))
def scsi_naca_is_refused(raw):
    raw.login()
    raw.clear_unit_attention()
    raw.command(bytes(5) + b"\x04", 0x80)


@case(good, "R7143-4.2.2.1-15")
def immediate_command_with_stale_cmd_sn(raw):
    raw.login()
    raw.clear_unit_attention()
    raw.command(bytes(6), 0x80, immediate=True, cmd_sn=(raw.cmd_sn - 50) & NONE)


@case(good)
def reserved_bits_are_ignored(raw):
    raw.login()
    raw.clear_unit_attention()
    itt = raw.next_itt()
    rest = struct.pack(">I", 0) + raw.sns() + bytes(16)
    raw.send(bhs(0x81, 0x98, 0xAA, 0x50, itt=itt, rest=rest))


@case(either(reject(7), reject(9), reject(4)))
def task_tag_in_use(raw):
    raw.login("ImmediateData=No", "InitialR2T=Yes")
    raw.clear_unit_attention()
    itt = raw.command(raw.write10(0, 1), 0xA1, 512)
    assert raw.recv().opcode == 0x31
    raw.command(raw.write10(0, 1), 0xA1, 512, itt=itt)


@case(either(reject(9), reject(4)))
def task_tag_reserved(raw):
    raw.login()
    raw.command(bytes(6), 0x80, itt=NONE)


@case(either(reject(9), reject(4), sense(11, 0x0C, 0x0C), sense(11, 0x0C, 0x0D)))
def immediate_data_although_agreed_not(raw):
    raw.login("ImmediateData=No", "InitialR2T=Yes")
    raw.clear_unit_attention()
    raw.command(raw.write10(0, 1), 0xA1, 512, b"i" * 512)


@case(either(reject(9), reject(4), sense(11, 0x0C, 0x0D)))
def immediate_data_longer_than_expected_length(raw):
    raw.login("ImmediateData=Yes")
    raw.clear_unit_attention()
    raw.command(raw.write10(0, 1), 0xA1, 512, b"i" * 1024)


@case(either(reject(9), reject(4), sense(11, 0x0C, 0x0C)))
def immediate_data_on_a_read(raw):
    raw.login("ImmediateData=Yes")
    raw.clear_unit_attention()
    raw.command(raw.read10(0, 1), 0xC1, 512, b"i" * 512)


@case(either(reject(9), reject(4), reject(5)))
def ahs_of_unknown_type(raw):
    raw.login()
    raw.clear_unit_attention()
    raw.command(bytes(6), 0x80, ahs=struct.pack(">HBB", 1, 0x3F, 0))


@case(either(reject(9), reject(4)))
def ahs_longer_than_its_room(raw):
    raw.login()
    raw.clear_unit_attention()
    raw.command(bytes(6), 0x80, ahs=struct.pack(">HBB", 60000, 1, 0))


# ---- Data-Out ----
def solicited(raw, blocks=8):
    """A write that has been answered by its R2T; returns (itt, ttt)."""
    raw.login("ImmediateData=No", "InitialR2T=Yes", "MaxBurstLength=65536", "FirstBurstLength=65536")
    raw.clear_unit_attention()
    itt = raw.command(raw.write10(0, blocks), 0xA1, blocks * 512)
    r2t = raw.recv()
    assert r2t.opcode == 0x31
    return itt, r2t.u32(20)


@case(either(reject(9), reject(4), silent))
def data_out_for_an_unknown_task(raw):
    raw.login()
    raw.data_out(0xDEAD, NONE, b"x" * 512)


@case(either(reject(9), reject(4)))
def data_out_with_an_unknown_transfer_tag(raw):
    itt, ttt = solicited(raw)
    raw.data_out(itt, ttt ^ 0x5A5A, b"x" * 4096)


@case(either(sense(11, 0x0C, 0x0D), sense(11, 0x47, 5), sense(11, 0x4B, 5), reject(9), reject(4)))
def data_out_at_a_wrong_offset(raw):
    itt, ttt = solicited(raw)
    raw.data_out(itt, ttt, b"x" * 4096, offset=1024)


@case(either(sense(11, 0x0C, 0x0D), sense(11, 0x4B, 2), reject(9), reject(4)))
def data_out_more_than_asked(raw):
    itt, ttt = solicited(raw)
    raw.data_out(itt, ttt, b"x" * 8192)


@case(either(sense(11, 0x47, 5), sense(11, 0x4B, 0), sense(11, 0x0C, 0x0D), reject(2), reject(4)))
def data_out_with_a_data_sn_gap(raw):
    itt, ttt = solicited(raw)
    raw.data_out(itt, ttt, b"x" * 2048, data_sn=0, final=False)
    raw.data_out(itt, ttt, b"x" * 2048, offset=2048, data_sn=7)


@case(either(sense(11, 0x0C, 0x0D), sense(11, 0x47, 5), reject(4), reject(9)))
def data_out_final_too_early(raw):
    itt, ttt = solicited(raw)
    raw.data_out(itt, ttt, b"x" * 1024)


@case(sense(11, 0x0C, 0x0C), "R7143-7.8-04")
def data_out_unsolicited_although_agreed_not(raw):
    itt, ttt = solicited(raw)
    raw.data_out(itt, NONE, b"x" * 4096)
    raw.data_out(itt, ttt, b"x" * 4096)  # the task ends only when the data that was asked for has come


@case(reject(2), "R7143-7.8-02")
def data_out_with_a_wrong_digest(raw):
    raw.login("DataDigest=CRC32C", "ImmediateData=No", "InitialR2T=Yes")
    raw.clear_unit_attention()
    itt = raw.command(raw.write10(0, 1), 0xA1, 512)
    r2t = raw.recv()
    raw.data_out(itt, r2t.u32(20), b"x" * 512, break_data=True)
    real = raw.recv
    kept = real()
    after = real()  # R7143-7.8-03: the command ends with protocol service CRC error
    assert after.opcode == 0x21 and after.sense() == (11, 0x47, 5), after
    raw.recv = lambda seen=[kept]: seen.pop() if seen else real()


# ---- framing ----
@case(closed)
def half_a_header_then_end(raw):
    raw.login()
    raw.sock.sendall(bytes(20))
    raw.sock.shutdown(socket.SHUT_WR)


@case(closed)
def half_a_data_segment_then_end(raw):
    raw.login("ImmediateData=Yes")
    raw.clear_unit_attention()
    header = bhs(0x01, 0xA1, data_len=512, itt=77, rest=struct.pack(">I", 512) + raw.sns() + raw.write10(0, 1))
    raw.sock.sendall(header + b"x" * 100)
    raw.sock.shutdown(socket.SHUT_WR)


class Bystander:
    """A well-behaved session that must not notice anything."""

    def __init__(self, port):
        self.raw = Raw(port, IQN)
        self.raw.initiator = "iqn.2026-01.org.lunette:bystander"
        self.raw.login("ImmediateData=Yes", "InitialR2T=No")
        self.raw.clear_unit_attention()
        self.block = None

    def works(self):
        if self.block is not None:
            self.raw.command(self.raw.read10(100, 1), 0xC1, 512)
            answer = self.raw.recv()
            assert answer.opcode == 0x25 and answer.data == self.block, answer
        self.block = os.urandom(512)
        self.raw.command(self.raw.write10(100, 1), 0xA1, 512, self.block)
        answer = self.raw.recv()
        assert answer.opcode == 0x21 and answer.header[3] == 0, answer


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    target = lunette.Target(tmp_path_factory.mktemp("hostile"), ["memory:size=8M"], IQN, [], ["127.0.0.1:0"])
    target.wait_listening()
    bystander = Bystander(target.port)
    yield target, bystander
    bystander.raw.close()
    assert target.finish() == []


@pytest.mark.parametrize("attack,expect", CASES)
def test_wrong_input_gets_its_answer(hostile, attack, expect):
    target, bystander = hostile
    bystander.works()
    raw = Raw(target.port, IQN)
    attack(raw)
    if isinstance(expect, tuple):
        check_one_of(raw, expect)
    else:
        expect(raw)
    raw.close()
    bystander.works()


def check_one_of(raw, checks):
    """Replays the first answer to each check until one accepts it."""
    real = raw.recv
    try:
        first = real()
    except Closed:
        assert closed in checks, "the connection was closed"
        return
    for check in checks:
        if check in (closed, silent):
            continue
        raw.recv = lambda seen=[first]: seen.pop() if seen else real()
        try:
            return check(raw)
        except (AssertionError, Closed) as error:
            failure = error
    raise AssertionError(f"answered {first} {first.data!r}") from failure


def test_the_table_is_large_enough():
    assert len(CASES) >= 60
