#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# net.sh tap|user [MIB]: a Debian guest on a network. iperf3 both ways and a
# large download, byte-exact; on a tap also what guest and metrics count.
. "${0%/*}/lib.sh"
. "${0%/*}/../net/netns.sh"
kind=$1
mib=${2:-128}
need_kernel
debian_packages # as long as there is a way to fetch them
[ "$kind" = user ] || own_netns "$@"
need_api
"$busybox" --list | grep -qx httpd || skip "busybox has no httpd"
helper=${SQUIB_USERNET:-${SQUIB%/*}/src/usernet/squib-usernet}
[ "$kind" = tap ] || [ -x "$helper" ] ||
    skip "squib was built without its network helper"

mkdir "$work/www"
head -c $((mib * 1048576)) /dev/urandom >"$work/www/blob"
sum=$(md5sum <"$work/www/blob")
servers=
stop_servers() { # by their own numbers
    for pid in $servers; do kill "$pid" 2>/dev/null; done
    servers=
}
trap 'stop_servers; stop_program; cleanup' EXIT

listens_or_gone() { # port
    tcp_listens "$1" || gone "$iperf"
}
# Both servers on ports that are free: $port and the next.
serve() { # address
    for port in 38180 38182 38184 38186 38188 38190; do
        file_server "$1" "$port" || continue
        servers=$server
        $run_root "$debian_root/usr/bin/iperf3" -s -B "$1" \
            -p $((port + 1)) >"$work/iperf3" 2>&1 &
        servers="$servers $!"
        iperf=$!
        eventually 30 listens_or_gone $((port + 1))
        gone "$iperf" || return
        stop_servers
    done
    skip "no free ports on $1"
}

# What iperf3's JSON in $out says of a run: bytes got.
bytes() {
    jq .end.sum_received.bytes "$out" 2>/dev/null || echo 0
}

# iperf3 sends so many bytes, whatever the time it takes. Its receiver stops
# counting when the sender is done, so what is under way then is missing.
judge() { # what, bytes sent
    got=$(bytes)
    if [ "${got:-0}" -ge $(($2 / 100 * 95)) ]; then
        pass "$1: $got bytes, $(jq '.end.sum_received.bits_per_second /
            1e6 | floor' "$out") Mbit/s"
    else
        fail "$1" "${got:-0} bytes of $2"
    fi
}

if [ "$kind" = user ]; then
    need_guest
    serve 127.0.0.1
    run() { # command: in a guest
        limited $((mib * 2 + 120)) "$SQUIB" run -q --backend "$backend" \
            -m 512M --net user "$debian_root" sh -c "$1" </dev/null
    }
    run "curl -s http://10.0.2.2:$port/blob | md5sum"
    check "$mib MiB down, byte-exact" 0 "$sum
"
    for way in up down; do
        [ $way = up ] && reverse= || reverse=-R
        run "iperf3 -J -c 10.0.2.2 -p $((port + 1)) -n 64M $reverse"
        ended "iperf3 $way" 0 && judge "iperf3 $way" $((64 << 20))
    done
    stop_servers
    finish
fi

ip tuntap add squib0 mode tap
ip addr add 172.31.9.1/24 dev squib0
ip link set squib0 up
serve 172.31.9.1
make_initrd
make_root
start_program
root_drive
want 204 PUT /network-interfaces/eth0 '{"iface_id": "eth0",
    "host_dev_name": "squib0", "guest_mac": "06:00:ac:1f:09:02"}'
boot 512 "test=root ip=off ipv6.disable=1" # which would talk by itself
address eth0 172.31.9.2/24
guest_ok "$mib MiB down" "curl -s http://172.31.9.1:$port/blob | md5sum" \
    $((mib * 2 + 60))
what="byte-exact"
if [ "$(cat "$out")" = "$sum" ]; then pass "$what"; else
    fail "$what" "$(cat "$out")"
fi
for way in up down; do
    [ $way = up ] && reverse= || reverse=-R
    guest_ok "iperf3 $way" "iperf3 -J -c 172.31.9.1 -p $((port + 1)) -n 256M
        $reverse" 120 && judge "iperf3 $way" $((256 << 20))
done

# Nobody may say anything more while both are asked.
stop_servers
ip link set squib0 down
guest 'set -- $(grep eth0: /proc/net/dev); echo $2 $3 ${10} ${11}'
seen=$(cat "$out")
flush_metrics
m=.net_eth0
got="$(metric $m.rx_bytes_count) $(metric $m.rx_packets_count) \
$(metric $m.tx_bytes_count) $(metric $m.tx_packets_count)"
what="metrics are what the guest counted"
lost=$(metric $m.tap_write_fails)
if [ "$lost" -gt 0 ]; then # sent to the tap when it was down already
    seen="${seen% * *} ${seen##* }"
    got="${got% * *} $((${got##* } + lost))"
    what="$what, but for bytes: the tap refused $lost packets"
fi
if [ "$seen" = "$got" ]; then pass "$what: $seen"; else
    fail "$what" "guest $seen, metrics $got"
fi
what="the sum is its parts'"
if jq -se 'all(if has("net_eth0") then .net.rx_bytes_count ==
    .net_eth0.rx_bytes_count and .net.tap_write_agg.sum_us ==
    .net_eth0.tap_write_agg.sum_us else true end)' "$metrics" >"$out"; then
    pass "$what"
else
    fail "$what" "it is not"
fi
end_program "the monitor ends"
finish
