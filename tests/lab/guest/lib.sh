# Sourced by every case: TAP, questions to the host, and open-iscsi's daily steps. What commands say goes to the console
# log; file descriptors 3 and 4 are the host's.

exec 3>&1 4<&0 1>&2 0< /dev/null

count=0
failed=0

ok() {
    count=$((count + 1))
    echo "ok $count - $*" >&3
}

not_ok() {
    count=$((count + 1))
    failed=$((failed + 1))
    echo "not ok $count - $*" >&3
}

# check NAME COMMAND...: the command's status decides.
check() {
    local name=$1
    shift
    echo "== $name: $*"
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}

# refused NAME COMMAND...: the command has to fail.
refused() {
    local name=$1
    shift
    echo "== $name (has to fail): $*"
    if "$@"; then not_ok "$name"; else ok "$name"; fi
}

# host VERB ARGS...: asks the host; prints its answer. Fails when the answer begins with "error".
host() {
    local answer
    echo "@$*" >&3
    read -r answer <&4
    echo "host $*: $answer"
    echo "$answer" > /run/answer
    case $answer in error*) return 1 ;; esac
}
answer() { cat /run/answer; }

# waits SECONDS COMMAND...: until it succeeds.
waits() {
    local left=$(($1 * 5))
    shift
    while ! "$@" > /dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.2
    done
}

finish() {
    echo "1..$count" >&3
    [ $failed = 0 ]
    exit
}

# ---- open-iscsi ----

iscsid_start() {
    echo "InitiatorName=${INITIATOR:-iqn.2026-01.org.lunette:guest}" > /etc/iscsi/initiatorname.iscsi
    cat > /etc/iscsi/iscsid.conf <<CONF
node.startup = manual
node.leading_login = No
node.session.timeo.replacement_timeout = ${REPLACEMENT:-20}
node.conn[0].timeo.login_timeout = 10
node.conn[0].timeo.logout_timeout = 10
node.conn[0].timeo.noop_out_interval = 3
node.conn[0].timeo.noop_out_timeout = 3
node.session.err_timeo.abort_timeout = 10
node.session.err_timeo.lu_reset_timeout = 20
node.session.err_timeo.tgt_reset_timeout = 20
node.session.initial_login_retry_max = 2
node.session.cmds_max = 64
node.session.queue_depth = 32
node.session.scan = auto
iscsid.startup = /bin/true
CONF
    iscsid -f -d 2 &
    waits 10 iscsiadm -m iface
}

# set NAME VALUE: a node parameter of the target under test.
node_set() {
    iscsiadm -m node -T "$IQN" -p "$PORTAL" -o update -n "$1" -v "$2"
}

login() {
    iscsiadm -m node -T "$IQN" -p "$PORTAL" --login
}

logout() {
    iscsiadm -m node -T "$IQN" -p "$PORTAL" --logout
}

discover() {
    iscsiadm -m discovery -t sendtargets -p "$PORTAL"
}

# disk LUN: the block device of that LUN of our target, as a path.
disk() {
    local dir
    for dir in /sys/class/iscsi_session/session*/device/target*/*:"$1"/block/*; do
        [ -e "$dir" ] && echo "/dev/${dir##*/}" && return 0
    done
    return 1
}

has_disk() { disk "$1" > /dev/null; }
no_disk() { ! disk "$1" > /dev/null; }
