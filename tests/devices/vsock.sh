#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# vsock.sh [MIB]: streams of so many MiB both ways between a Debian guest and
# the Unix socket on the host, byte-exact, and counted.
. "${0%/*}/lib.sh"
mib=${1:-64}
need_api
make_initrd
make_root
socat="$run_root $debian_root/usr/bin/socat"
head -c $((mib * 1048576)) /dev/urandom >"$work/blob"
sum=$(md5sum <"$work/blob")
limit=$((mib + 120))

start_program
root_drive
want 204 PUT /vsock "{\"guest_cid\": 7, \"uds_path\": \"$work/v.sock\"}"
boot 256 test=root

same() { # what, sum
    if [ "$2" = "$sum" ]; then pass "$1"; else fail "$1" "$2"; fi
}

# The guest connects: the host listens beside the socket, at its port.
$socat -u "UNIX-LISTEN:$work/v.sock_52" - <"$work/blob" >"$work/up" &
listener=$!
eventually 30 listens "$work/v.sock_52"
guest_ok "the guest sends $mib MiB" "mkfifo /tmp/p; md5sum </tmp/p >/tmp/sum &
    head -c $((mib * 1048576)) /dev/urandom | tee /tmp/p |
    socat -u - VSOCK-CONNECT:2:52; wait" "$limit"
wait "$listener"
guest "cat /tmp/sum"
sent=$(cat "$out")
what="$mib MiB from the guest, byte-exact"
if [ "$(md5sum <"$work/up")" = "$sent" ] &&
    [ "$(wc -c <"$work/up")" = $((mib * 1048576)) ]; then
    pass "$what"
else
    fail "$what" "$(wc -c <"$work/up") bytes"
fi
rm -f "$work/up"

$socat -u "OPEN:$work/blob" "UNIX-LISTEN:$work/v.sock_53" &
listener=$!
eventually 30 listens "$work/v.sock_53"
guest_ok "the guest fetches $mib MiB" \
    "socat -u VSOCK-CONNECT:2:53 - | md5sum" "$limit"
same "$mib MiB to the guest, byte-exact" "$(cat "$out")"
wait "$listener"

# The host connects: CONNECT and a port. Before somebody listens there it is
# refused, so it tries until it is told OK.
guest_begin "socat -u VSOCK-LISTEN:1024 - | md5sum"
i=0
until [ -s "$work/ok" ] || [ $i = 240 ]; do
    i=$((i + 1))
    sleep 0.5
    { printf 'CONNECT 1024\n' && cat "$work/blob"; } 2>/dev/null |
        timeout $((limit * slow * patience)) $socat -t 600 - "UNIX-CONNECT:$work/v.sock" \
            >"$work/ok" 2>"$err"
done
guest_end "$limit" || fail "the guest's listener" "does not end"
what="the host is told of its connection"
if grep -Eq '^OK [0-9]+$' "$work/ok"; then pass "$what"; else
    fail "$what" "$(head -c 100 "$work/ok")"
fi
same "$mib MiB through CONNECT, byte-exact" "$(cat "$out")"

flush_metrics
got="$(metric .vsock.tx_bytes_count) $(metric .vsock.rx_bytes_count) \
$(metric .vsock.conns_added) $(metric .vsock.conns_removed)"
n=$((mib << 20))
what="metrics are what was sent"
if [ "$got" = "$n $((2 * n)) 3 3" ]; then pass "$what: $got"; else
    fail "$what" "$got"
fi
end_program "the monitor ends"
finish
