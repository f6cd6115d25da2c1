#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Memory that a guest gives up is the host's again: by the balloon, by free
# page reporting, and by unplugging what was plugged while it ran. "The
# host's" is the monitor's resident shared memory, which is all guest RAM.
. "${0%/*}/lib.sh"
need_api
make_initrd
# Which would have each allocation be written to, and so be resident.
unset MALLOC_PERTURB_

gave_back() { # what, KiB before, KiB after, KiB freed: 90 % of it
    echo "# $1: $2 KiB resident, then $3; $4 freed"
    if [ $((($2 - $3) * 100)) -ge $(($4 * 90)) ]; then pass "$1"; else
        fail "$1" "$(($2 - $3)) KiB of $4 came back"
    fi
}

# What is resident when it has stopped falling, below $1 or for good.
settled() { # KiB
    last=$(resident) still=0 i=0
    while [ $i -lt $((30 * slow * patience)) ]; do
        sleep 1
        now=$(resident)
        still=$((now < last ? 0 : still + 1))
        last=$now
        [ "$now" -gt "$1" ] || [ $still -lt 3 ] || break
        i=$((i + 1))
    done
    echo "$last"
}

# Resident memory of the monitor beyond the guest's and the code cache (the
# software CPU's tables have the flag dc, see os/lazy.h), at most 5 MiB.
monitor_is_small() { # what
    if [ "$slow" != 1 ]; then
        echo "# $1: not looked at, as sanitizers have memory of their own"
        return
    fi
    kib=$(awk '/^[0-9a-f]+-[0-9a-f]+ / {
            ours = !/memfd:(guest-memory|squib-code)/
            anonymous = NF == 5 || $6 ~ /^\[anon:/
        }
        /^Pss:/ { pss = $2 }
        /^VmFlags:/ && ours && !(anonymous && / dc( |$)/) { sum += pss }
        END { print sum + 0 }' "/proc/$program/smaps")
    what="$1: the monitor itself has $kib KiB"
    if [ "$kib" -gt 0 ] && [ "$kib" -le 5120 ]; then pass "$what"; else
        fail "$what" "more than 5 MiB"
    fi
}

# Touches so many MiB in the guest, and frees them.
fill="mount -t tmpfs -o size=90% t /tmp; dd if=/dev/urandom bs=1M count=16
    of=/tmp/a 2>/dev/null; for i in \$(seq 1 15); do cat /tmp/a >/tmp/a\$i;
    done; rm /tmp/*; umount /tmp; echo 3 >/proc/sys/vm/drop_caches"
fill=$(echo $fill)

# --- balloon -----------------------------------------------------------------
start_program
is "a balloon" 204 PUT /balloon \
    '{"amount_mib": 0, "deflate_on_oom": false, "stats_polling_interval_s": 1}'
boot 512
guest_ok "the guest uses its memory" "$fill" 120
before=$(resident)
monitor_is_small "with a guest of 512 MiB"
is "inflate" 204 PATCH /balloon '{"amount_mib": 300}'
i=0
until [ "$(api GET /balloon/statistics | sed 's/200$//' |
    jq .actual_mib)" -ge 300 ]; do
    i=$((i + 1))
    [ $i -lt $((60 * slow * patience)) ] || break
    sleep 1
done
# The balloon takes touched pages and untouched ones alike: what it holds is
# not resident any more, so no more can be than the rest.
after=$(resident)
rest=$(((512 - 300) * 1024))
echo "# $before KiB resident, $after with 300 of 512 MiB in the balloon"
what="300 MiB in the balloon are the host's"
if [ "$before" -gt $((rest + 30 * 1024)) ] &&
    [ "$after" -le $((rest + 30 * 1024)) ]; then
    pass "$what"
else
    fail "$what" "$before KiB before, $after after"
fi
is "deflate" 204 PATCH /balloon '{"amount_mib": 0}'
guest_ok "the guest has it again" "$fill" 120
flush_metrics
what="metrics count inflations and deflations"
if [ "$(metric .balloon.inflate_count)" -gt 0 ] &&
    [ "$(metric .balloon.deflate_count)" -gt 0 ] &&
    [ "$(metric .balloon.stats_updates_count)" -gt 0 ]; then
    pass "$what"
else
    fail "$what" "$(jq -c .balloon "$metrics" | tail -n 1)"
fi
end_program "the monitor ends"
rm -f "$metrics"

# --- free page reporting -----------------------------------------------------
start_program
is "a balloon that is told of free pages" 204 PUT /balloon \
    '{"amount_mib": 0, "deflate_on_oom": false, "free_page_reporting": true}'
boot 512
guest_ok "memory is used" "${fill%%; rm*}" 120
before=$(resident)
guest_ok "memory is freed" "rm /tmp/*; echo 3 >/proc/sys/vm/drop_caches"
freed=$((256 * 1024))
after=$(settled $((before - freed * 90 / 100)))
gave_back "free pages are the host's" "$before" "$after" "$freed"
flush_metrics
got=$(metric .balloon.free_page_report_freed)
what="metrics tell how much ($got bytes)"
if [ "$got" -ge $((freed * 1024 * 9 / 10)) ]; then pass "$what"; else
    fail "$what" "too little"
fi
end_program "the monitor ends"
rm -f "$metrics"

# --- plugging ----------------------------------------------------------------
start_program
is "memory to plug" 204 PUT /hotplug/memory \
    '{"total_size_mib": 512, "slot_size_mib": 128, "block_size_mib": 2}'
boot 256 memhp_default_state=online_movable
status_is() { # what, plugged, requested
    i=0 want="{\"block_size_mib\":2,\"total_size_mib\":512,\
\"slot_size_mib\":128,\"plugged_size_mib\":$2,\"requested_size_mib\":$3}200"
    until got=$(api GET /hotplug/memory); [ "$got" = "$want" ]; do
        i=$((i + 1))
        [ $i -lt $((120 * slow * patience)) ] || { fail "$1" "$got"; return; }
        sleep 0.5
    done
    pass "$1"
}
status_is "nothing is plugged" 0 0
# The guest's own figure lags behind: it takes a plugged block into use, or
# out of it, by itself. Waits for it.
total_is() { # what, KiB
    i=0
    until guest "grep MemTotal /proc/meminfo | tr -dc 0-9" &&
        [ "$(cat "$out")" = "$2" ]; do
        i=$((i + 1))
        [ $i -lt $((60 * slow * patience)) ] || {
            fail "$1" "$(cat "$out") KiB, not $2"
            return
        }
        sleep 0.5
    done
    pass "$1"
}
guest "grep MemTotal /proc/meminfo | tr -dc 0-9"
small=$(cat "$out")
is "too much" '{"fault_message":"Memory hotplug update error: Failed to '\
'create memory hotplug device: Size 1073741824 is invalid: it must be a '\
'multiple of block size and less than the total size"}400' \
    PATCH /hotplug/memory '{"requested_size_mib": 1024}'
is "half a block" '{"fault_message":"Memory hotplug update error: Failed to '\
'create memory hotplug device: Size 1048576 is invalid: it must be a '\
'multiple of block size and less than the total size"}400' \
    PATCH /hotplug/memory '{"requested_size_mib": 1}'
is "384 MiB more" 204 PATCH /hotplug/memory '{"requested_size_mib": 384}'
status_is "they are plugged" 384 384
total_is "the guest has 384 MiB more" $((small + 384 * 1024))
# More than fits what was there at boot, whole and unchanged.
guest_ok "the guest uses them" "mount -t tmpfs -o size=90% t /tmp;
    dd if=/dev/urandom bs=1M count=16 of=/tmp/a 2>/dev/null;
    for i in \$(seq 1 20); do cp /tmp/a /tmp/a\$i; done;
    for i in \$(seq 1 20); do cmp /tmp/a /tmp/a\$i || exit 1; done" 120
before=$(resident)
guest_ok "and frees them" "rm /tmp/*; echo 3 >/proc/sys/vm/drop_caches"
is "less" 204 PATCH /hotplug/memory '{"requested_size_mib": 0}'
status_is "all is unplugged" 0 0
total_is "the guest has what it had at boot" "$small"
# All that can be left is what was there at boot.
after=$(resident)
what="what was unplugged is the host's ($before KiB resident, then $after)"
if [ "$before" -gt $((300 * 1024)) ] && [ "$after" -le $((256 * 1024)) ]; then
    pass "$what"
else
    fail "$what" "it is not"
fi
is "and again" 204 PATCH /hotplug/memory '{"requested_size_mib": 512}'
status_is "all of it" 512 512
flush_metrics
for m in plug unplug; do
    n=$(metric .memory_hotplug.${m}_count)
    b=$(metric .memory_hotplug.${m}_bytes)
    us=$(metric .memory_hotplug.${m}_agg.sum_us)
    echo "# $m: $n requests, $b bytes, $us us"
done
what="metrics count plugged and unplugged bytes"
if [ "$(metric .memory_hotplug.plug_bytes)" = $((896 << 20)) ] &&
    [ "$(metric .memory_hotplug.unplug_bytes)" = $((384 << 20)) ]; then
    pass "$what"
else
    fail "$what" "$(jq -c .memory_hotplug "$metrics" | tail -n 1)"
fi
monitor_is_small "with memory that came and went"
end_program "the monitor ends"
finish
