# iPXE logged in to the LUN and left its iBFT; Linux finds it there, and iscsistart logs in with what it says.
has() { echo "$1: $(cat "$1")"; [ "$(cat "$1")" = "$2" ]; }
ibft=/sys/firmware/ibft
check "the firmware left an iBFT" test -d $ibft/target0
check "it names the initiator" has $ibft/initiator/initiator-name "$INITIATOR"
check "it names the target" has $ibft/target0/target-name "$IQN"
check "it names the portal" has $ibft/target0/port "$PORT"
[ -z "$SECRET" ] || check "it has the secret" has $ibft/target0/chap-secret "$SECRET"
[ -z "$MUTUAL" ] || check "it has the target's secret" has $ibft/target0/rev-chap-name-secret "$MUTUAL"
check "iscsistart -b logs in" iscsistart -b
check "the disk appears" waits 10 has_disk 0
check "mount" mount -t ext4 "$(disk 0)" /mnt
check "the file is right" test "$(crc32 /mnt/text | cut -c1-8)" = "$(printf %08x "$SUM")"
check "write" sh -c 'echo "written by Linux" > /mnt/written'
check "umount" umount /mnt
finish
