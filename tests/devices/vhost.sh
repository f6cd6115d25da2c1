#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Drives that another process serves (vhost-user): a Debian guest whose root
# is one, with QEMU's storage daemon as the back end.
. "${0%/*}/lib.sh"
need_api
need_tool qemu-storage-daemon
make_initrd
make_root
daemons=
trap 'kill $daemons 2>/dev/null; stop_program; cleanup' EXIT

up_or_gone() { # socket
    listens "$1" || gone "$last"
}
# One back end for each image: NAME.sock.
back_end() { # name, image, writable
    qemu-storage-daemon \
        --blockdev "driver=file,node-name=f,filename=$2,read-only=$4" \
        --export "type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path=$work/$1.sock,writable=$3" \
        2>"$work/$1.log" &
    last=$!
    daemons="$daemons $last"
    eventually 30 up_or_gone "$work/$1.sock"
    listens "$work/$1.sock" ||
        skip "the storage daemon does not start: $(cat "$work/$1.log")"
}
truncate -s 64M "$work/data.img"
back_end root "$root_image" off on
back_end data "$work/data.img" on off
data_daemon=$last

before="Drive config error: Unable to create the virtio block device: "
start_program
is "a socket that is not there" "{\"fault_message\":\"${before}Vhost user \
backend error: Vhost-user error: Failed to connect to UDS Unix stream: No \
such file or directory (os error 2)\"}400" PUT /drives/x \
    '{"drive_id": "x", "is_root_device": false, "socket": "/no/such.sock"}'
is "a socket and a path" "{\"fault_message\":\"${before}Invalid block \
config.\"}400" PUT /drives/x '{"drive_id": "x", "is_root_device": false,
    "socket": "/no/such.sock", "path_on_host": "/no/such"}'
is "a socket and an engine" "{\"fault_message\":\"${before}Invalid block \
config.\"}400" PUT /drives/x '{"drive_id": "x", "is_root_device": false,
    "socket": "/no/such.sock", "io_engine": "Sync"}'
is "the root" 204 PUT /drives/root "{\"drive_id\": \"root\",
    \"is_root_device\": false, \"socket\": \"$work/root.sock\"}"
is "the data" 204 PUT /drives/data "{\"drive_id\": \"data\",
    \"is_root_device\": false, \"socket\": \"$work/data.sock\",
    \"cache_type\": \"Writeback\"}"
got=$(api GET /vm/config | sed 's/200$//' | jq -c '.drives[1]')
what="they are shown"
if [ "$got" = "{\"drive_id\":\"data\",\"partuuid\":null,\"is_root_device\":\
false,\"cache_type\":\"Writeback\",\"is_read_only\":null,\"path_on_host\":\
null,\"rate_limiter\":null,\"io_engine\":null,\"socket\":\
\"$work/data.sock\"}" ]; then pass "$what"; else fail "$what" "$got"; fi
# More parts of memory than a table takes: each is told to the back end.
is "memory to plug" 204 PUT /hotplug/memory '{"total_size_mib": 2048}'
boot 384 "test=root memhp_default_state=online_movable"

sums='cd ROOT && for f in usr/bin/*; do [ -L $f ] || md5sum $f; done | md5sum'
guest_ok "programs of the root run" "$(echo "$sums" | sed 's,ROOT,/,')" 60
what="and are what they are on the host"
if [ "$(sh -c "$(echo "$sums" | sed "s,ROOT,$debian_root,")")" = \
    "$(sed '/^$/d' "$out")" ]; then
    pass "$what"
else
    fail "$what" "they differ"
fi
guest "cat /sys/block/vda/ro /sys/block/vdb/ro"
what="the guest knows which it may write"
if [ "$(tr '\n' ' ' <"$out")" = "1 0  " ]; then pass "$what"; else
    fail "$what" "$(cat "$out")"
fi
guest_ok "fio verifies 64 MiB" "fio --name=v --filename=/dev/vdb
    --rw=randwrite --bsrange=4k-256k --size=100% --direct=1
    --ioengine=libaio --iodepth=16 --verify=crc32c --do_verify=1
    --verify_fatal=1 --end_fsync=1 --output=/tmp/fio ||
    { cat /tmp/fio; false; }" 240
guest_ok "the disk read as a whole" "md5sum </dev/vdb"
what="host and guest see the same bytes"
if [ "$(md5sum <"$work/data.img")" = "$(sed '/^$/d' "$out")" ]; then
    pass "$what"
else
    fail "$what" "they differ"
fi
is "asking for the configuration again" 204 PATCH /drives/data \
    '{"drive_id": "data"}'
is "another path" "{\"fault_message\":\"Drive config error: Unable to patch \
the block device: Block: Running method expected different backend. Please \
verify the request arguments.\"}400" PATCH /drives/data \
    '{"drive_id": "data", "path_on_host": "/no/such"}'

guest_begin "dd if=/dev/urandom of=/dev/vdb bs=64k count=1024 oflag=direct"
sleep 0.3
is "pausing while it writes" 204 PATCH /vm '{"state": "Paused"}'
cp "$work/data.img" "$work/copy.img"
sleep 1
what="a paused machine's image is at rest"
if cmp -s "$work/data.img" "$work/copy.img"; then pass "$what"; else
    fail "$what" "it changes"
fi
is "resuming" 204 PATCH /vm '{"state": "Resumed"}'
what="it goes on"
if guest_end 60 && [ "$status" = 0 ]; then pass "$what"; else
    fail "$what" "status $status"
fi
is "memory is plugged" 204 PATCH /hotplug/memory \
    '{"requested_size_mib": 1024}'
plugged() {
    api GET /hotplug/memory | grep -q '"plugged_size_mib":1024'
}
eventually 60 plugged || fail "memory is plugged" "it is not"
# More than there was at the start: the back end writes beyond that.
guest_ok "the back end reads to memory that was plugged" "cd /tmp &&
    mkdir big && mount -t tmpfs -o size=600m big big && cd big &&
    dd if=/dev/vdb of=a bs=1M && for i in 1 2 3 4 5; do cat a; done >b &&
    dd if=/dev/vdb of=c bs=1M iflag=direct &&
    [ \"\$(md5sum <a)\" = \"\$(md5sum <c)\" ] && rm a b c" 120
flush_metrics
what="metrics of the drive"
if jq -se 'last | .vhost_user_block_data | keys == ["activate_fails",
    "activate_time_us", "cfg_fails", "config_change_time_us",
    "init_time_us"] and .init_time_us > 0 and .activate_time_us > 0 and
    .activate_fails == 0' "$metrics" >"$out"; then
    pass "$what"
else
    fail "$what" "$(jq -c .vhost_user_block_data "$metrics" | tail -n 1)"
fi

kill -KILL "$data_daemon"
wait "$data_daemon" 2>/dev/null
sleep 1
got=$(api GET / | grep -o '"state":"[^"]*"')
what="a dead back end does not take the monitor along"
if [ "$got" = '"state":"Running"' ]; then pass "$what"; else
    fail "$what" "$got"
fi
guest_ok "nor the other drive" "md5sum /usr/bin/fio && echo 3 >/tmp/x"
end_program "the monitor ends"

# --- coming and going, over PCI ----------------------------------------------
head -c 4194304 /dev/urandom >"$work/hot.img"
back_end hot "$work/hot.img" on off
rm -f "$metrics"
start_program --enable-pci
boot 256
hot="{\"is_root_device\": false, \"socket\": \"$work/hot.sock\","
# A disk's node may be there before it can be opened.
appears='for i in $(seq 2000); do
    head -c 1 /dev/vda >/dev/null 2>&1 && break; usleep 50000; done'
round=0
while [ $round -lt 2 ]; do
    round=$((round + 1))
    is "a drive comes, $round" 204 PUT /drives/hot$round \
        "$hot \"drive_id\": \"hot$round\"}"
    guest "$appears; md5sum </dev/vda"
    what="the guest reads what it has, $round"
    if [ "$(md5sum <"$work/hot.img")" = "$(sed '/^$/d' "$out")" ]; then
        pass "$what"
    else
        fail "$what" "it differs"
    fi
    guest "head -c 1048576 /dev/urandom >/tmp/new; dd if=/tmp/new of=/dev/vda
        bs=64k seek=$round conv=fsync 2>/dev/null; md5sum </dev/vda"
    what="and writes, $round"
    if [ "$(md5sum <"$work/hot.img")" = "$(sed '/^$/d' "$out")" ]; then
        pass "$what"
    else
        fail "$what" "it differs"
    fi
    guest_ok "it lets go of it, $round" 'p=$(readlink -f /sys/block/vda);
        p=${p%/virtio*}; echo 1 >/sys/bus/pci/devices/${p##*/}/remove;
        [ ! -e /dev/vda ]'
    is "it goes, $round" 204 DELETE /drives/hot$round
done
got=$(api PUT /drives/lost "{\"drive_id\": \"lost\",
    \"is_root_device\": false, \"socket\": \"$work/none.sock\"}")
what="a back end that is not there is refused"
case $got in
*"Failed to connect to UDS Unix stream: No such file"*400) pass "$what" ;;
*) fail "$what" "$got" ;;
esac
guest_ok "the machine goes on" true
end_program "and ends"
finish
