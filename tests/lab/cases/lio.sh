# LIO, the Linux kernel's target, set up through configfs alone; then the host drives: each answer to "next" is a command
# to run here, and its status goes back. The portal is 127.0.0.1 with the port that QEMU forwards, so that SendTargets
# returns an address that is right on the host too.
mount -t configfs none /sys/kernel/config
root=/sys/kernel/config/target
echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet # or the kernel drops packets to 127.0.0.1 that come from outside

# backing NAME SIZE: a file in memory as a backstore.
backing() {
    truncate -s "$2" "/run/$1"
    mkdir -p "$root/core/fileio_0/$1"
    echo "fd_dev_name=/run/$1,fd_dev_size=$2,fd_buffered_io=1" > "$root/core/fileio_0/$1/control"
    echo "$1" > "$root/core/fileio_0/$1/wwn/vpd_unit_serial"
    echo 1 > "$root/core/fileio_0/$1/enable"
    echo 1 > "$root/core/fileio_0/$1/attrib/emulate_tpu" 2> /dev/null
    echo 1 > "$root/core/fileio_0/$1/attrib/emulate_tpws" 2> /dev/null
    [ "$(cat "$root/core/fileio_0/$1/enable")" = 1 ]
}

# serve NAME BACKING AUTHENTICATION: a target iqn...:NAME with that LUN 0, open to every initiator.
serve() {
    local tpg=$root/iscsi/$IQN:$1/tpgt_1
    mkdir -p "$tpg/np/127.0.0.1:$PORT" "$tpg/lun/lun_0"
    ln -s "$root/core/fileio_0/$2" "$tpg/lun/lun_0/it"
    echo "$3" > "$tpg/attrib/authentication"
    echo 1 > "$tpg/attrib/generate_node_acls"
    echo 1 > "$tpg/attrib/cache_dynamic_acls"
    echo 0 > "$tpg/attrib/demo_mode_write_protect"
    echo 0 > "$tpg/attrib/prod_mode_write_protect"
    echo 2 > "$tpg/attrib/default_erl" # param/ErrorRecoveryLevel alone is not enough
    echo 8 > "$tpg/param/MaxConnections"
    echo CHAP,None > "$tpg/param/AuthMethod"
    if [ "$3" = 1 ]; then
        echo CHAP > "$tpg/param/AuthMethod"
        printf %s guest > "$tpg/auth/userid"
        printf %s "$SECRET" > "$tpg/auth/password"
    fi
    if [ "$1" = mutual ]; then
        printf %s lio > "$tpg/auth/userid_mutual"
        printf %s "$MUTUAL" > "$tpg/auth/password_mutual"
    fi
    echo 1 > "$tpg/enable"
    [ "$(cat "$tpg/enable")" = 1 ]
}

dmesg -n 1 # LIO reports every refused command: a slow console would be all that the guest does
mkdir -p "$root/iscsi"
check "a file as backstore" backing disk 67108864
check "a target without CHAP" serve plain disk 0
check "a target with CHAP" serve chap disk 1
check "a target with mutual CHAP" serve mutual disk 1
while host next; do
    command=$(answer)
    [ "$command" != finish ] || break
    echo "== $command"
    eval "$command"
    host result $?
done
echo "== the kernel's own words"
dmesg | tail -200
finish
