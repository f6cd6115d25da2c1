#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# hostile.sh HOSTILE_GUEST: guests that misbehave end with one clear line and
# a documented status; the monitor neither crashes nor hangs, and its memory
# stays bounded. HOSTILE_GUEST is the program that writes them.
. "${0%/*}/lib.sh"
writer=$1
# No Linux here, but the initramfs is built all the same.
need_guest

guest() { # kind, options
    kind=$1
    shift
    "$writer" "$kind" "$work/$kind.elf" || return 1
    limited 30 "$SQUIB" run -q --backend "$backend" -m 64 \
        -k "$work/$kind.elf" "$@" -- true </dev/null
}

guest triple
complains "a triple fault" 125 "triple fault" ""
guest nowhere
complains "a jump to where no memory is" 125 "CPU" ""
guest tables
complains "page tables where no memory is" 125 "triple fault|CPU" ""
guest reset
complains "a reset before the agent answers" 125 "restarted" ""

guest halt --timeout 1
complains "a halt for ever ends by --timeout" 124 "time limit" ""
guest halt -c "$(cpus 4)" --timeout 1
complains "the same with $(cpus 4) vCPUs" 124 "time limit" ""
guest spin --timeout 1
complains "a loop for ever ends by --timeout" 124 "time limit" ""
guest reads --timeout 1
complains "accesses to no device end by --timeout" 124 "time limit" ""

# What the started vCPUs find at their start is not defined: any end is good
# that is a clear one.
guest startups -c "$(cpus 8)" --timeout 2
what="a storm of start-up interrupts"
if [ "$status" = 125 ]; then
    complains "$what" 125 "CPU" ""
else
    complains "$what" 124 "time limit" ""
fi

# --- the console -------------------------------------------------------------
guest flood --timeout 2
complains "a flooded console ends by --timeout" 124 "time limit" ""
what="of a flooded console little is shown"
if [ "$(wc -c <"$err")" -lt 20000 ]; then
    pass "$what"
else
    fail "$what" "$(wc -c <"$err") bytes on stderr"
fi

# The monitor's memory while the guest goes on: after a while it does not grow
# any more in what the guest writes within a second of the monitor's own time.
peak_kib() {
    sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null
}
ticks() { # of processor time, a hundredth of a second each
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '{ print $12 + $13 }'
}
worked() { # process, until it has had so many
    now=$(ticks "$1")
    [ "${now:-0}" -ge "$2" ]
}
stands_still() { # process
    early=$(peak_kib "$1")
    eventually 60 worked "$1" $(($(ticks "$1") + 100)) || return 1
    late=$(peak_kib "$1")
    [ $((late - early)) -le 1024 ]
}
what="a flooded console does not fill the monitor's memory"
"$SQUIB" run -q --backend "$backend" -m 64 -k "$work/flood.elf" \
    -- true >"$out" 2>"$err" </dev/null &
started_pid=$!
eventually 60 worked "$started_pid" 100
if stands_still "$started_pid" || stands_still "$started_pid" ||
    stands_still "$started_pid"; then
    pass "$what"
else
    fail "$what" "from ${early:-none} to ${late:-none} KiB within a second"
fi
kill -KILL "$started_pid"
wait "$started_pid" 2>/dev/null
started_pid=

# With --console, and nobody reads stderr for long after the time limit.
what="a flooded console that is not read in time ends by --timeout"
mkfifo "$work/fifo"
sh -c 'exec <"$0"; sleep '$((5 * slow))'; exec cat >/dev/null' "$work/fifo" &
reader=$!
limited 30 sh -c 'exec "$@" 2>"$0"' "$work/fifo" "$SQUIB" run -q \
    --backend "$backend" -m 64 -k "$work/flood.elf" --console \
    --timeout 2 -- true </dev/null
wait "$reader"
if ended "$what" 124; then
    pass "$what"
fi

# The same for a serial console on stdout, ended by a signal.
what="a flooded serial console that nobody reads ends by SIGTERM"
cat >"$work/vm.json" <<END
{"boot-source": {"kernel_image_path": "$work/flood.elf"}, "drives": [],
 "machine-config": {"vcpu_count": 1, "mem_size_mib": 64}}
END
exec 3<>"$work/fifo"
timeout --foreground -k 5 $((30 * slow * patience)) "$SQUIB" --no-api \
    --config-file "$work/vm.json" --backend "$backend" \
    </dev/null >"$work/fifo" 2>"$err" 3<&- &
started_pid=$!
sleep $((2 * slow))
kill -TERM "$started_pid"
wait "$started_pid"
status=$?
started_pid=
hung=
exec 3<&-
if ended "$what" 143; then
    pass "$what"
fi

finish
