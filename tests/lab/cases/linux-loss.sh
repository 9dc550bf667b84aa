# What happens to the wire in mid-I/O: a reset, a stall, a loss of 8 s, a loss longer than the time-out, a target that
# stops and starts again. Writes in flight either come through or fail; nothing may be wrong afterwards.
REPLACEMENT=12
check "iscsid starts" iscsid_start
check "discovery" discover
check "login" login
check "the disk appears" waits 10 has_disk 0
disk=$(disk 0)
dd if=/dev/urandom of=/run/pattern bs=1M count=24 2> /dev/null

# through NAME DISTURBANCE...: writes while the host disturbs, then compares.
through() {
    local name=$1
    shift
    dd if=/run/pattern of="$disk" bs=256k oflag=direct 2> /run/dd.log &
    local writer=$!
    sleep 0.1
    check "$name: the host does its part" host "$@"
    check "$name: the writes come through" wait $writer
    echo 3 > /proc/sys/vm/drop_caches
    dd if="$disk" of=/run/back bs=256k count=96 iflag=direct 2> /run/dd.log
    check "$name: the data is right" cmp /run/pattern /run/back
}

through "reset" cut
through "stall of 2 s" stall 2
through "loss of 8 s" downfor 8
through "target restarted" restart
through "target killed" restart KILL
check "link down for longer than the time-out" host downfor 20
refused "reads then fail" dd if="$disk" of=/run/back bs=64k count=1 iflag=direct
check "the disk comes back" waits 30 dd if="$disk" of=/run/back bs=64k count=1 iflag=direct
through "afterwards" accepted
check "logout" logout
finish
