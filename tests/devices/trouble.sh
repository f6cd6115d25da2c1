#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Storage whose host side fails under a running guest: a full file system, an
# image that is cut short, one that is deleted, one that cannot be swapped in;
# mapped memory whose file is cut short.
# The guest gets errors, the monitor goes on, nothing acknowledged is lost.
. "${0%/*}/lib.sh"
need_api
# A small file system of our own, in a mount namespace of our own.
if [ -z "${SQUIB_TEST_IN_MOUNTNS:-}" ]; then
    [ "$(id -u)" = 0 ] || skip "mounting a small file system needs root"
    unshare -m true 2>/dev/null || skip "no mount namespaces"
    rm -rf "$work"
    trap - EXIT
    SQUIB_TEST_IN_MOUNTNS=1 exec unshare -m --propagation private "$0" "$@"
fi
make_initrd
small=$work/small
mkdir "$small"
mount -t tmpfs -o size=24m squib-test "$small" || skip "tmpfs cannot be mounted"
trap 'stop_program; umount "$small"; cleanup' EXIT

alive() { # what
    got=$(api GET / | grep -o '"state":"[^"]*"')
    if [ "$got" = '"state":"Running"' ]; then pass "$1"; else
        fail "$1" "$got"
        finish
    fi
}

for engine in Sync Async; do
    truncate -s 64M "$small/a.img" "$work/b.img" "$work/c.img"
    head -c 1048576 /dev/urandom >"$work/mib"
    cat "$work/mib" >"$small/a.img"
    truncate -s 64M "$small/a.img"
    rm -f "$metrics"
    start_program
    for d in "a $small/a.img" "b $work/b.img" "c $work/c.img"; do
        drive "${d% *}" "${d#* }" "\"io_engine\": \"$engine\",
            \"cache_type\": \"Writeback\""
    done

    boot 256

    # --- a full file system --------------------------------------------------
    guest "dd if=/dev/zero of=/dev/vda bs=1M seek=1 count=60 oflag=direct
        conv=fsync"
    what="a guest is told that the host is full, $engine engine"
    if [ "$status" != 0 ] && grep -q 'rror' "$out"; then pass "$what"; else
        fail "$what" "status $status"
    fi
    alive "the monitor goes on, $engine engine"
    guest "dd if=/dev/vda bs=1M count=1 iflag=direct 2>/dev/null | md5sum"
    what="what was there before is there, $engine engine"
    if [ "$(cat "$out")" = "$(md5sum <"$work/mib")" ]; then pass "$what"; else
        fail "$what" "$(cat "$out")"
    fi
    flush_metrics
    got=$(metric .block_a.execute_fails)
    what="failures are counted, $engine engine"
    if [ "$got" -gt 0 ]; then pass "$what: $got"; else fail "$what" "$got"; fi
    mount -o remount,size=96m "$small"
    guest_ok "with room again, it writes, $engine engine" "dd if=/dev/zero
        of=/dev/vda bs=1M seek=1 count=60 oflag=direct conv=fsync 2>&1"

    # --- cut short, and deleted ----------------------------------------------
    truncate -s 1M "$work/b.img"
    guest "dd if=/dev/vdb of=/dev/null bs=1M skip=8 count=8 iflag=direct"
    what="beyond the end of a cut image there are errors, $engine engine"
    if [ "$status" != 0 ]; then pass "$what"; else fail "$what" "none"; fi
    guest_ok "before it there are none, $engine engine" \
        "dd if=/dev/vdb of=/dev/null bs=64k count=8 iflag=direct"
    rm "$work/c.img"
    guest_ok "a deleted image works to the end, $engine engine" \
        "dd if=/dev/urandom of=/tmp/r bs=1M count=4 &&
        dd if=/tmp/r of=/dev/vdc bs=1M oflag=direct &&
        echo 3 >/proc/sys/vm/drop_caches && head -c 4194304 /dev/vdc |
        cmp - /tmp/r"
    got=$(api PATCH /drives/c "{\"drive_id\": \"c\",
        \"path_on_host\": \"$work/gone.img\"}")
    what="a path that is not there is refused, $engine engine"
    case $got in
    *"No such file or directory"*400) pass "$what" ;;
    *) fail "$what" "$got" ;;
    esac
    guest_ok "and the old image stays, $engine engine" \
        "echo 3 >/proc/sys/vm/drop_caches; head -c 4194304 /dev/vdc |
        cmp - /tmp/r"
    alive "the monitor is there at the end, $engine engine"
    end_program "and ends, $engine engine"
    mount -o remount,size=24m "$small" 2>/dev/null
    rm -f "$small/a.img"
    mount -o remount,size=24m "$small"
done

# --- mapped memory -----------------------------------------------------------
head -c 16777216 /dev/urandom >"$work/pmem.img"
rm -f "$metrics"
start_program --log-path "$work/log"
want 204 PUT /pmem/p "{\"id\": \"p\", \"path_on_host\": \"$work/pmem.img\"}"
boot 256
guest_ok "a guest writes to mapped memory" "dd if=/dev/urandom of=/dev/pmem0
    bs=1M seek=8 count=4 conv=fsync"
truncate -s 1M "$work/pmem.img"
zeroes=$(head -c 4194304 /dev/zero | md5sum)
guest "echo 3 >/proc/sys/vm/drop_caches;
    dd if=/dev/pmem0 bs=1M skip=8 count=4 2>/dev/null | md5sum"
what="what its file has lost reads as zeroes"
if [ "$(sed '/^$/d' "$out")" = "$zeroes" ]; then pass "$what"; else
    fail "$what" "$(cat "$out")"
fi
guest "dd if=/dev/pmem0 bs=1M count=1 2>/dev/null | md5sum"
what="what it still has is there"
if [ "$(sed '/^$/d' "$out")" = "$(md5sum <"$work/pmem.img")" ]; then
    pass "$what"
else
    fail "$what" "$(cat "$out")"
fi
guest "dd if=/dev/urandom of=/dev/pmem0 bs=1M seek=9 count=1 conv=fsync"
what="no flush of it succeeds"
if [ "$status" != 0 ]; then pass "$what"; else fail "$what" "one did"; fi
alive "the monitor goes on without mapped memory"
what="the log has one line about it"
if [ "$(grep -c 'pmem p: ' "$work/log")" = 1 ]; then pass "$what"; else
    fail "$what" "$(cat "$work/log")"
fi
end_program "and ends, as if nothing had been"
finish
