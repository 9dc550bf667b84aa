# dm-multipath over two sessions to one disk: same identity, each way lost in mid-write and found again,
# both lost at once; after each the data is compared, through the map and on each path for itself.
REPLACEMENT=2 # a path that is gone fails its commands soon, so that the other takes them
check "iscsid starts" iscsid_start
for portal in $PORTALS; do
    check "discovery from $portal" iscsiadm -m discovery -t sendtargets -p "$portal"
done
check "login on every portal found" iscsiadm -m node --login

paths() { ls -d /sys/class/iscsi_session/session*/device/target*/*:0/block/*; }
two_paths() { [ "$(paths | wc -l)" = 2 ]; }
check "two disks appear" waits 10 two_paths
for path in $(paths); do
    disk=/dev/${path##*/}
    sg_vpd --page=0x83 "$disk" > /run/vpd 2>&1
    check "$disk has the identity of both" grep -qi "$NAA" /run/vpd
    sg_vpd --page=0x80 "$disk" > /run/vpd 2>&1
    check "$disk has the serial number of both" grep -q "$SERIAL" /run/vpd
done

# The map is dm-multipath's own table: one group of two paths by turns, commands wait while there is none. What multipathd
# would do is the loop below: it cannot live in a guest without udev.
numbers=$(for path in $(paths); do echo "$(cat "$path/dev") 1"; done | tr '\n' ' ')
size=$(blockdev --getsz "/dev/$(basename "$(paths | head -1)")")
check "dm-multipath takes both" dmsetup create way --table "0 $size multipath 1 queue_if_no_path 0 1 1 round-robin 0 2 1 $numbers"

status() { dmsetup status way; }
active() { [ "$(status | grep -oE '[0-9]+:[0-9]+ A' | wc -l)" = "$1" ]; }
checker() {
    while sleep 1; do
        for path in $(paths); do
            if status | grep -q "$(cat "$path/dev") F" && sg_turs "/dev/${path##*/}"; then
                dmsetup message way 0 reinstate_path "$(cat "$path/dev")"
            fi
        done
    done
}
active 2 || finish # nothing to write to
ok "it has two active paths"
checker &
checker=$!
disk=/dev/dm-0

same() { # DISK: holds the pattern, by direct reads
    dd if="$1" of=/run/back bs=256k count=32 iflag=direct 2> /run/dd.log && cmp /run/pattern /run/back
}

# through NAME VERB...: writes while the host disturbs, then compares.
through() {
    local name=$1 writer
    shift
    head -c 8388608 /dev/urandom > /run/pattern
    dd if=/run/pattern of="$disk" bs=16k oflag=direct 2> /run/dd.log &
    writer=$!
    sleep 0.1
    check "$name: the host does its part" host "$@"
    check "$name: in mid-write" kill -0 $writer
    check "$name: the writes come through" wait $writer
    check "$name: the data is right" same "$disk"
}

through "way 1 lost" way 1 down
check "way 1 lost: one path is left" active 1
host way 1 up
check "way 1 is found again" waits 30 active 2
through "way 2 lost" way 2 down
check "way 2 lost: one path is left" active 1
host way 2 up
check "way 2 is found again" waits 30 active 2
through "both lost, way 1 back after 5 s" both 5
host way 2 up
check "both are found again" waits 30 active 2
through "way 1 cut" way 1 cut
waits 30 active 2
for path in $(paths); do
    check "/dev/${path##*/} by itself has the data" same "/dev/${path##*/}"
done
check "no I/O error came through" sh -c '! dmesg | grep -q "I/O error, dev dm-"'
kill $checker
check "the map goes" dmsetup remove way
finish
