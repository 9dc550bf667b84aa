# CHAP with the right and with wrong secrets; mutual when MUTUAL is given.
check "iscsid starts" iscsid_start
check "discovery" discover
refused "login without CHAP" login
node_set node.session.auth.authmethod CHAP
node_set node.session.auth.username guest
node_set node.session.auth.password "$SECRET"
if [ -n "$MUTUAL" ]; then
    node_set node.session.auth.username_in lunette
    node_set node.session.auth.password_in "$MUTUAL"
fi
for algorithm in SHA3-256 SHA256 SHA1 MD5; do
    node_set node.session.auth.chap_algs $algorithm
    check "login with $algorithm" login
    check "the disk appears" waits 10 has_disk 0
    check "read" dd if="$(disk 0)" of=/dev/null bs=64k count=16 iflag=direct
    check "logout" logout
done
node_set node.session.auth.password wrong-secret-0001
refused "login with a wrong secret" login
node_set node.session.auth.password "$SECRET"
node_set node.session.auth.username nobody
refused "login as an unknown user" login
node_set node.session.auth.username guest
if [ -n "$MUTUAL" ]; then
    node_set node.session.auth.password_in wrong-target-0001
    refused "login to a target that does not know its secret" login
    node_set node.session.auth.password_in "$MUTUAL"
fi
check "login again" login
check "logout again" logout
finish
