# Every corner of negotiation that open-iscsi offers: digests, InitialR2T, ImmediateData, small and large bursts and
# segments. Each login looks up what was agreed, writes, reads back through a cold cache, and compares.
check "iscsid starts" iscsid_start
check "discovery" discover
dd if=/dev/urandom of=/run/pattern bs=64k count=6 2> /dev/null

is() { echo "$1: $2"; [ "$2" -eq "$3" ]; }
most() { echo "$1: $2"; [ "$2" -le "$3" ]; }
flag() { case $1 in Yes | CRC32C) echo 1 ;; *) echo 0 ;; esac }

# agreed INITIAL IMMEDIATE FIRST BURST RECV XMIT HEADER DATA: what the kernel holds is what was asked for. The sizes are
# the smaller of both sides' offers; FirstBurstLength has no meaning where no unsolicited data is.
agreed() {
    local session connection
    session=$(echo /sys/class/iscsi_session/session*)
    connection=$(echo /sys/class/iscsi_connection/connection*)
    is InitialR2T "$(cat "$session/initial_r2t")" "$(flag "$1")" &&
        is ImmediateData "$(cat "$session/immediate_data")" "$(flag "$2")" &&
        if [ "$1 $2" != "Yes No" ]; then most FirstBurstLength "$(cat "$session/first_burst_len")" "$3"; fi &&
        most MaxBurstLength "$(cat "$session/max_burst_len")" "$4" &&
        is "MaxRecvDataSegmentLength of Linux" "$(cat "$connection/max_recv_dlength")" "$5" &&
        most "MaxRecvDataSegmentLength of the target, in use" "$(cat "$connection/max_xmit_dlength")" "$6" &&
        is HeaderDigest "$(cat "$connection/header_digest")" "$(flag "$7")" &&
        is DataDigest "$(cat "$connection/data_digest")" "$(flag "$8")"
}

one() {
    local initial=$1 immediate=$2 first=$3 burst=$4 recv=$5 xmit=$6 header=$7 data=$8
    # One start of iscsiadm for all of them: in emulation a start costs a good part of a second.
    iscsiadm -m node -T "$IQN" -p "$PORTAL" -o update \
        -n node.session.iscsi.InitialR2T -v "$initial" \
        -n node.session.iscsi.ImmediateData -v "$immediate" \
        -n node.session.iscsi.FirstBurstLength -v "$first" \
        -n node.session.iscsi.MaxBurstLength -v "$burst" \
        -n "node.conn[0].iscsi.MaxRecvDataSegmentLength" -v "$recv" \
        -n "node.conn[0].iscsi.MaxXmitDataSegmentLength" -v "$xmit" \
        -n "node.conn[0].iscsi.HeaderDigest" -v "$header" \
        -n "node.conn[0].iscsi.DataDigest" -v "$data" &&
        login && waits 10 has_disk 0 && agreed "$initial" "$immediate" "$first" "$burst" "$recv" "$xmit" "$header" "$data" &&
        dd if=/run/pattern of="$(disk 0)" bs=192k seek=3 oflag=direct &&
        echo 3 > /proc/sys/vm/drop_caches &&
        dd if="$(disk 0)" of=/run/back bs=192k skip=3 count=2 iflag=direct &&
        cmp /run/pattern /run/back &&
        logout && waits 10 no_disk 0
}

number=0
for initial in Yes No; do
    for immediate in Yes No; do
        for sizes in "512 512 512 512" "65536 262144 262144 65536" "4096 8192 131072 4096" "262144 16776192 16776192 262144"; do
            set -- $sizes
            number=$((number + 1))
            # Each of the four kinds of digests meets each kind of unsolicited data once, and each set of sizes once.
            case $(((number - 1 + (number - 1) / 4) % 4)) in
            0) digests="None None" ;;
            1) digests="CRC32C CRC32C" ;;
            2) digests="CRC32C None" ;;
            3) digests="None CRC32C" ;;
            esac
            check "login $number: InitialR2T=$initial ImmediateData=$immediate first,burst,recv,xmit=$sizes digests=$digests" \
                one $initial $immediate $1 $2 $3 $4 $digests
        done
    done
done
finish
