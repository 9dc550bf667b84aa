# sg3_utils: every VPD and mode page, every command family. A command that the target does not have is listed by name.
check "iscsid starts" iscsid_start
check "discovery" discover
check "login" login
check "the disk appears" waits 10 has_disk 0
disk=$(disk 0)

# supported NAME OPCODE[,SERVICE ACTION]: does the target report the command?
supported() { sg_opcodes --opcode="$1" "$disk" 2> /dev/null | grep -qiv "not supported"; }
# maybe NAME OPCODE COMMAND...: as check when the target reports the command, else it has to be refused as unknown.
maybe() {
    local name=$1 opcode=$2
    shift 2
    if sg_opcodes --opcode="$opcode" "$disk" > /run/opcode 2>&1 && ! grep -qi "not supported" /run/opcode; then
        check "$name" "$@"
    else
        refused "$name: not a command of this target, refused" "$@"
    fi
}

check "standard INQUIRY" sg_inq "$disk"
for page in 0x00 0x80 0x83 0xb0 0xb1 0xb2; do
    check "VPD page $page" sg_vpd --page=$page "$disk"
    check "VPD page $page, as sg_inq reads it" sg_inq --vpd --page=$page "$disk"
done
check "all VPD pages" sg_vpd --all "$disk"
check "READ CAPACITY (10)" sg_readcap "$disk"
check "READ CAPACITY (16)" sg_readcap --16 "$disk"
check "supported operation codes" sg_opcodes "$disk"
check "TEST UNIT READY" sg_turs "$disk"
check "REQUEST SENSE" sg_requests "$disk"
check "REPORT LUNS" sg_luns "$disk"
check "mode pages" sg_modes --all "$disk"
check "SYNCHRONIZE CACHE" sg_sync "$disk"
check "VERIFY" sg_verify --lba=0 --count=64 "$disk"
check "UNMAP" sg_unmap --lba=64 --num=64 "$disk"
check "WRITE SAME (16)" sg_write_same --16 --lba=0 --num=64 --xferlen=512 --in=/dev/zero "$disk"
# Full path: the shell would take busybox's own.
check "blkdiscard" /bin/blkdiscard --offset 1048576 --length 1048576 "$disk"
check "zeroing" /bin/blkdiscard --zeroout --offset 0 --length 1048576 "$disk"
head -c 1024 /dev/zero > /run/zeros
maybe "COMPARE AND WRITE" 0x89 sg_compare_and_write --in=/run/zeros --lba=0 --num=1 --xferlen=1024 "$disk"
maybe "GET LBA STATUS" 0x9e,0x12 sg_get_lba_status --lba=0 "$disk"
maybe "REPORT TARGET PORT GROUPS" 0xa3,0x0a sg_rtpg "$disk"
maybe "LOG SENSE" 0x4d sg_logs --all "$disk"

# Persistent reservations: the full cycle where the target has them.
persist() { sg_persist --no-inquiry "$@" "$disk"; }
persist_shows() { # WORD ARGS...: the answer has the word
    local word=$1
    shift
    persist "$@" > /run/persist 2>&1
    cat /run/persist
    grep -q "$word" /run/persist
}
if sg_opcodes --opcode=0x5e,0x00 "$disk" > /run/opcode 2>&1 && ! grep -qi "not supported" /run/opcode; then
    check "PERSISTENT RESERVE OUT: register" persist --out --register --param-sark=0xabc
    check "PERSISTENT RESERVE IN: the key is there" persist_shows 0xabc --in --read-keys
    check "PERSISTENT RESERVE OUT: reserve, write exclusive" persist --out --reserve --param-rk=0xabc --prout-type=1
    check "PERSISTENT RESERVE IN: the reservation is there" persist_shows "Write Exclusive" --in --read-reservation
    check "PERSISTENT RESERVE IN: full status" persist_shows 0xabc --in --read-full-status
    check "PERSISTENT RESERVE IN: capabilities" persist --in --report-capabilities
    check "PERSISTENT RESERVE OUT: another type needs a release" persist --out --release --param-rk=0xabc --prout-type=1
    check "PERSISTENT RESERVE OUT: reserve, exclusive access" persist --out --reserve --param-rk=0xabc --prout-type=3
    check "PERSISTENT RESERVE OUT: preempt itself" persist --out --preempt --param-rk=0xabc --param-sark=0xabc --prout-type=3
    check "PERSISTENT RESERVE OUT: clear" persist --out --clear --param-rk=0xabc
    check "PERSISTENT RESERVE IN: nothing is left" persist_shows "there are NO registered" --in --read-keys
else
    refused "PERSISTENT RESERVE IN: not a command of this target, refused" persist --in --read-keys
    refused "PERSISTENT RESERVE OUT: not a command of this target, refused" persist --out --register --param-sark=0xabc
fi
check "LUN reset" sg_reset --no-escalate --device "$disk"
check "it goes on after the reset" waits 10 sg_turs "$disk"
check "target reset" sg_reset --no-escalate --target "$disk"
check "it goes on after that" waits 15 dd if="$disk" of=/dev/null bs=64k count=4 iflag=direct
check "logout" logout
finish
