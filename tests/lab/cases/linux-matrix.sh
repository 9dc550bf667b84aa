# Every corner of negotiation that open-iscsi offers: digests, InitialR2T, ImmediateData, small and large bursts and
# segments. Each login writes, reads back through a cold cache, and compares.
check "iscsid starts" iscsid_start
check "discovery" discover
dd if=/dev/urandom of=/run/pattern bs=64k count=6 2> /dev/null

one() {
    local name=$1 initial=$2 immediate=$3 first=$4 burst=$5 recv=$6 xmit=$7 header=$8 data=$9
    node_set node.session.iscsi.InitialR2T "$initial" &&
        node_set node.session.iscsi.ImmediateData "$immediate" &&
        node_set node.session.iscsi.FirstBurstLength "$first" &&
        node_set node.session.iscsi.MaxBurstLength "$burst" &&
        node_set "node.conn[0].iscsi.MaxRecvDataSegmentLength" "$recv" &&
        node_set "node.conn[0].iscsi.MaxXmitDataSegmentLength" "$xmit" &&
        node_set "node.conn[0].iscsi.HeaderDigest" "$header" &&
        node_set "node.conn[0].iscsi.DataDigest" "$data" &&
        login && waits 10 has_disk 0 &&
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
            # Each of the four kinds of digests meets each data combination once.
            case $(((number + number / 4) % 4)) in
            0) digests="None None" ;;
            1) digests="CRC32C CRC32C" ;;
            2) digests="CRC32C None" ;;
            3) digests="None CRC32C" ;;
            esac
            check "login $number: InitialR2T=$initial ImmediateData=$immediate first,burst,recv,xmit=$sizes digests=$digests" \
                one "$number" $initial $immediate $1 $2 $3 $4 $digests
        done
    done
done
finish
