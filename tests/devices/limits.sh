#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# limits.sh [net]: rate limiters. Over ten seconds of a guest that wants more,
# what passes is within 5 % of what was configured. Bytes and requests by the
# metrics, time by their time stamps.
. "${0%/*}/lib.sh"
. "${0%/*}/../net/netns.sh"
[ $# = 0 ] || own_netns "$@"
need_api
make_initrd

limiter() { # kind, size, refill_time
    echo "\"rate_limiter\": {\"$1\": {\"size\": $2, \"refill_time\": $3}}"
}
mib=1048576

# The bucket is full at first: a second passes before time is taken.
over_ten_seconds() { # what, metric, expected each second, command
    guest_begin "$4"
    sleep 2
    flush_metrics
    from=$(wc -l <"$metrics")
    start=$(tail -n 1 "$metrics" | jq .utc_timestamp_ms)
    sleep 10
    flush_metrics
    end=$(tail -n 1 "$metrics" | jq .utc_timestamp_ms)
    got=$(tail -n "+$((from + 1))" "$metrics" | jq -s "map($2) | add")
    if ! guest_end 60; then
        cp "$work/console" "$out"
        fail "$1" "the guest does not end"
        exit 1
    fi
    rate=$(jq -n "$got * 1000 / ($end - $start) | floor")
    line="$1: $rate a second, $3 wanted, $((end - start)) ms"
    if jq -ne "$rate >= $3 * 0.95 and $rate <= $3 * 1.05" >"$work/ok"; then
        pass "$line"
    else
        fail "$line" "more than 5 % off"
    fi
}

if [ $# != 0 ]; then
    "$busybox" --list | grep -qx httpd || skip "busybox has no httpd"
    "$busybox" --list | grep -qx nc || skip "busybox has no nc"
    ip tuntap add squib0 mode tap
    ip addr add 172.31.9.1/24 dev squib0
    ip link set squib0 up
    mkdir "$work/www"
    truncate -s 4G "$work/www/zeroes"
    "$busybox" httpd -f -p 172.31.9.1:38280 -h "$work/www" &
    server=$!
    mkfifo "$work/keep"
    exec 9<>"$work/keep"
    "$busybox" nc -l -p 38281 <"$work/keep" >/dev/null &
    sink=$!
    trap 'kill $server $sink 2>/dev/null; stop_program; cleanup' EXIT
    start_program
    want 204 PUT /network-interfaces/eth0 "{\"iface_id\": \"eth0\",
        \"host_dev_name\": \"squib0\",
        \"rx_$(limiter bandwidth $((4 * mib)) 500 | cut -c 2-),
        \"tx_$(limiter bandwidth $((4 * mib)) 250 | cut -c 2-)}"
    boot 256
    address eth0 172.31.9.2/24
    over_ten_seconds "received" .net_eth0.rx_bytes_count $((8 * mib)) \
        "timeout 14 wget -q -O /dev/null http://172.31.9.1:38280/zeroes; true"
    over_ten_seconds "sent" .net_eth0.tx_bytes_count $((16 * mib)) \
        "timeout 14 nc 172.31.9.1 38281 </dev/zero; true"
    for m in rx_rate_limiter_throttled tx_rate_limiter_throttled; do
        got=$(metric ".net_eth0.$m")
        if [ "$got" -gt 0 ]; then pass "$m: $got"; else fail "$m" "0"; fi
    done
    end_program "the monitor ends"
    finish
fi

truncate -s 4G "$work/a.img" "$work/b.img" "$work/c.img"
start_program
drive bytes "$work/a.img" "$(limiter bandwidth $((4 * mib)) 200)"
drive async "$work/b.img" "\"io_engine\": \"Async\",
    $(limiter bandwidth $((20 * mib)) 500)"
drive ops "$work/c.img" "$(limiter ops 40 100)"
want 204 PUT /entropy "{$(limiter bandwidth 100000 500)}"
boot 256

over_ten_seconds "reads" .block_bytes.read_bytes $((20 * mib)) \
    "timeout 14 dd if=/dev/vda of=/dev/null bs=1M; true"
over_ten_seconds "writes" .block_bytes.write_bytes $((20 * mib)) \
    "timeout 14 dd if=/dev/zero of=/dev/vda bs=256k oflag=direct; true"
over_ten_seconds "reads, asynchronous" .block_async.read_bytes \
    $((40 * mib)) "timeout 14 dd if=/dev/vdb of=/dev/null bs=1M; true"
over_ten_seconds "requests" .block_ops.read_count 400 \
    "timeout 14 dd if=/dev/vdc of=/dev/null bs=4k iflag=direct; true"
over_ten_seconds "entropy" .entropy.entropy_bytes 200000 \
    "timeout 14 dd if=/dev/hwrng of=/dev/null bs=4k; true"
is "another limit while it runs" 204 PATCH /drives/bytes \
    "{\"drive_id\": \"bytes\", $(limiter bandwidth $mib 100)}"
over_ten_seconds "reads after the change" .block_bytes.read_bytes \
    $((10 * mib)) "echo 3 >/proc/sys/vm/drop_caches;
    timeout 14 dd if=/dev/vda of=/dev/null bs=1M; true"
for m in block_bytes.rate_limiter_throttled_events \
    block_ops.rate_limiter_event_count \
    entropy.entropy_rate_limiter_throttled; do
    got=$(metric ".$m")
    if [ "$got" -gt 0 ]; then pass "$m: $got"; else fail "$m" "0"; fi
done
end_program "the monitor ends"
finish
