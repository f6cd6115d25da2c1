#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# disk.sh [MIB]: drives under a Debian guest, with both engines: fio verifies
# what it wrote, host and guest see the same bytes and count the same
# requests, a paused machine's image is at rest, and after a killed monitor
# everything that was synced is there.
. "${0%/*}/lib.sh"
mib=${1:-64}
need_api
need_tool e2fsck debugfs mke2fs
make_initrd
make_root

image() { # name, MiB
    rm -f "$work/$1"
    truncate -s "$2M" "$work/$1"
}
file_system() { # name, MiB
    image "$1" "$2"
    limited 60 mke2fs -q -t ext4 "$work/$1"
    [ "$status" = 0 ] || { fail "mke2fs" "status $status"; exit 1; }
}

# What the guest's kernel has counted of a disk: reads, bytes, writes, bytes.
counted() { # disk
    guest "read -r r m s t w n u x </sys/block/$1/stat;
        echo \$r \$((s * 512)) \$w \$((u * 512))"
    cat "$out"
}

# --- verification ------------------------------------------------------------
image sync.img "$mib"
image async.img "$mib"
start_program
root_drive
drive sync "$work/sync.img" '"io_engine": "Sync"'
drive async "$work/async.img" '"io_engine": "Async",
    "cache_type": "Writeback"'
boot 512 test=root
for d in vdb:sync vdc:async; do
    disk=${d%:*} name=${d#*:}
    guest_ok "fio verifies $mib MiB, $name engine" "fio --name=v
        --filename=/dev/$disk --rw=randwrite --bsrange=4k-256k --size=100%
        --direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c
        --do_verify=1 --verify_fatal=1 --end_fsync=1 --output=/tmp/fio
        || { cat /tmp/fio; false; }" $((mib * 4 + 120))
    guest_ok "the $name disk read as a whole" "md5sum </dev/$disk" \
        $((mib + 60))
    sum=$(cat "$out")
    what="host and guest see the same bytes, $name engine"
    if [ "$(md5sum <"$work/$name.img")" = "$sum" ]; then pass "$what"; else
        fail "$what" "they differ"
    fi
    seen=$(counted $disk)
    flush_metrics
    b=".block_$name"
    # A flush is a write without data for the guest's kernel.
    got="$(metric $b.read_count) $(metric $b.read_bytes) \
$(metric "($b.write_count + $b.flush_count)") $(metric $b.write_bytes)"
    what="metrics of $name are what the guest counted"
    if [ "$seen" = "$got" ]; then pass "$what: $seen"; else
        fail "$what" "guest $seen, metrics $got"
    fi
    what="times of $name add up"
    if jq -se "map($b | (.read_agg, .write_agg)) | map(select(.max_us > 0)) |
        length > 0 and all(.min_us <= .max_us and .sum_us >= 0) and
        (map(.sum_us) | add) > 0" "$metrics" >"$out"; then
        pass "$what"
    else
        fail "$what" "$(metric $b.read_agg.sum_us) us"
    fi
done
what="the drives' sum is their parts'"
if jq -se 'all(. as $l | (["read_bytes", "write_bytes", "read_count",
    "write_count", "flush_count", "queue_event_count"] |
    all(. as $m | $l.block[$m] == ([$l | to_entries[] |
        select(.key | startswith("block_")) | .value[$m]] | add // 0))))' \
    "$metrics" >"$out"; then
    pass "$what"
else
    fail "$what" "it is not"
fi
end_program "the monitor ends"
rm -f "$metrics"

# --- pausing while it writes -------------------------------------------------
writer='mkdir /tmp/m && mount /dev/vdb /tmp/m && cd /tmp/m || exit 1; i=0;
    while [ $i -lt 1000000 ]; do i=$((i + 1));
    head -c 20000 /dev/urandom >f$i && md5sum <f$i >s$i && sync f$i s$i &&
    echo "synced $i" || exit 1; done'
for engine in Sync Async; do
    file_system fs.img 256
    start_program
    root_drive
    drive fs "$work/fs.img" "\"io_engine\": \"$engine\",
        \"cache_type\": \"Writeback\""
    boot 256 test=root
    guest_begin "$writer"
    wait_for 60 "synced 20" || {
        fail "the writer" "does not write"
        finish
    }
    want 204 PATCH /vm '{"state": "Paused"}'
    cp "$work/fs.img" "$work/copy.img"
    acked=$(tr -d '\r' <"$work/console" | sed -n 's/^synced //p' | tail -n 1)
    sleep 1
    what="a paused machine's image is at rest, $engine engine"
    if cmp -s "$work/fs.img" "$work/copy.img"; then pass "$what"; else
        fail "$what" "it changes"
    fi
    # Journal first; what else there is to mend would be damage.
    limited 60 e2fsck -fy "$work/copy.img"
    limited 60 e2fsck -fn "$work/copy.img"
    what="and a file system in order, $engine engine"
    if [ "$status" = 0 ]; then pass "$what"; else
        fail "$what" "e2fsck says $status"
    fi
    want 204 PATCH /vm '{"state": "Resumed"}'
    wait_for 60 "synced $((acked + 20))" || {
        fail "a resumed machine" "writes no more"
        finish
    }

    # --- killing the monitor while it writes ---------------------------------
    acked=$(tr -d '\r' <"$work/console" | sed -n 's/^synced //p' | tail -n 1)
    kill -KILL "$program"
    wait "$program" 2>/dev/null
    program=
    exec 3>&-
    rm -f "$metrics"
    limited 60 e2fsck -fp "$work/fs.img"
    what="a killed monitor's file system needs its journal only, $engine"
    case $status in
    0 | 1) pass "$what" ;;
    *) fail "$what" "e2fsck says $status" ;;
    esac
    limited 60 e2fsck -fn "$work/fs.img"
    [ "$status" = 0 ] || fail "$what" "e2fsck then says $status"
    lost=0
    i=1
    while [ $i -le "$acked" ]; do
        debugfs -R "dump f$i $work/f" "$work/fs.img" 2>/dev/null >&2
        debugfs -R "dump s$i $work/s" "$work/fs.img" 2>/dev/null >&2
        [ -s "$work/s" ] && [ "$(md5sum <"$work/f")" = "$(cat "$work/s")" ] ||
            lost=$((lost + 1))
        rm -f "$work/f" "$work/s"
        i=$((i + 1))
    done
    what="all $acked files that were synced are there, $engine"
    if [ $lost = 0 ]; then pass "$what"; else fail "$what" "$lost are not"; fi
done
finish
