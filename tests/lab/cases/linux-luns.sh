# LUNs come, grow and go while Linux is logged in: it sees each change (unit attention or asynchronous message).
check "iscsid starts" iscsid_start
check "discovery" discover
check "login" login
check "LUN 0 appears" waits 10 has_disk 0
size_is() { [ "$(blockdev --getsize64 "$(disk "$1")")" = "$2" ]; }
rescan() { iscsiadm -m session --rescan; }
check "LUN 1 is added" host ctl lun add %IQN 1=memory:size=64M
check "a command meets the unit attention" sh -c "sg_turs $(disk 0) || true"
check "rescan" rescan
check "LUN 1 appears" waits 10 has_disk 1
check "LUN 1 has 64 MiB" size_is 1 67108864
check "LUN 1 takes data" dd if=/dev/urandom of="$(disk 1)" bs=1M count=8 oflag=direct
check "LUN 1 grows" host ctl lun resize %IQN 1 128M
check "a command meets the new capacity" sh -c "sg_turs $(disk 1) || true"
check "rescan" rescan
check "Linux sees 128 MiB" waits 10 size_is 1 134217728
check "LUN 1 is removed" host ctl lun remove %IQN 1
refused "its disk fails" dd if="$(disk 1)" of=/dev/null bs=4k count=1 iflag=direct
check "LUN 0 goes on" dd if="$(disk 0)" of=/dev/null bs=1M count=4 iflag=direct
check "logout" logout
finish
