# Linux (open-iscsi, iscsi_tcp, sd) against our target: discovery, login, a file system, logout.
check "iscsid starts" iscsid_start
check "discovery" discover
check "login" login
check "the disk appears" waits 10 has_disk 0
disk=$(disk 0)
check "mkfs.ext4" mkfs.ext4 -q -F "$disk"
check "mount" mount -t ext4 "$disk" /mnt
check "write" dd if=/dev/urandom of=/mnt/data bs=1M count=8
sum=$(md5sum < /mnt/data)
check "umount" umount /mnt
check "fsck" e2fsck -fn "$disk"
check "remount" mount -t ext4 "$disk" /mnt
check "verify" test "$(md5sum < /mnt/data)" = "$sum"
check "umount again" umount /mnt
check "logout" logout
check "the disk goes" waits 10 no_disk 0
finish
