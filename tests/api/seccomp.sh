#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# seccomp.sh REFUSE_EXEC: each thread of a machine that runs has a filter of
# system calls, unless --no-seccomp says otherwise; and what a forbidden call
# does. What the filters hold is test_confine's.
. "${0%/*}/../boot/lib.sh"
refuse=$(realpath "$1")
need_guest
need_tool curl jq
cd "$work" || exit 1
socket=$work/api.sock
"$SQUIB" doctor >"$work/doctor" 2>/dev/null
grep -q '^ok *filters' "$work/doctor" || skip "squib doctor: $(
    grep ' filters ' "$work/doctor")"

put() { # path, body: the status
    curl -s -o "$work/answer" -w '%{http_code}' --unix-socket "$socket" \
        -X PUT "http://localhost$1" -d "$2"
}
up_or_gone() {
    listens "$socket" || gone "$started_pid"
}
start() { # command...
    rm -f "$socket"
    "$@" >"$out" 2>"$err" </dev/null &
    started_pid=$!
    eventually 20 up_or_gone
}
stop() {
    kill -TERM "$started_pid" 2>/dev/null
    wait "$started_pid" 2>/dev/null
    status=$?
    started_pid=
}
# A line for each thread: its name, 2 with a filter and 0 without, and
# whether programs that it starts may gain privileges.
threads() { # process
    for task in /proc/"$1"/task/*/status; do
        awk '$1 == "Name:" { sub(/^Name:[ \t]*/, ""); name = $0 }
            $1 == "NoNewPrivs:" { no_new = $2 }
            $1 == "Seccomp:" { print name ": " $2 " " no_new }' "$task"
    done | sort
}
threads_are() { # process, lines
    threads "$1" >"$work/threads"
    printf '%s\n' "$2" | cmp -s - "$work/threads"
}
judge() { # what, process, lines
    if eventually 60 threads_are "$2" "$3"; then pass "$1"; else
        fail "$1" "$(cat "$work/threads")"
    fi
}
# The kernel finds no root, panics and stays.
boot() {
    put /boot-source "{\"kernel_image_path\": \"$kernel\",
        \"boot_args\": \"console=ttyS0 panic=0\"}" >/dev/null
    put /machine-config '{"vcpu_count": 2, "mem_size_mib": 128}' >/dev/null
    put /actions '{"action_type": "InstanceStart"}' >/dev/null
}
inherited=$(awk '$1 == "Seccomp:" { print $2 }' /proc/self/status)
no_new=$(awk '$1 == "NoNewPrivs:" { print $2 }' /proc/self/status)
without="$inherited $no_new"
[ "$inherited" = 0 ] ||
    echo "note: this test itself is filtered; --no-seccomp shows as $inherited"
# The program's main thread has the name of the file.
main=$(basename "$SQUIB" | cut -c 1-15)
case $backend in *lockstep*) skip "lockstep has one vCPU" ;; esac

# --- the API -----------------------------------------------------------------
start "$SQUIB" serve --api-sock "$socket" --backend "$backend"
judge "the API thread, before anything is configured" "$started_pid" \
    "fc_api: 2 1
$main: $without"
boot
judge "all threads, when the guest runs" "$started_pid" "fc_api: 2 1
fc_vcpu 0: 2 1
fc_vcpu 1: 2 1
$main: 2 1"
what="its end is in order"
stop
if [ "$status" = 143 ]; then pass "$what"; else fail "$what" "$status"; fi

start "$SQUIB" serve --api-sock "$socket" --backend "$backend" --no-seccomp
boot
judge "none of them with --no-seccomp" "$started_pid" "fc_api: $without
fc_vcpu 0: $without
fc_vcpu 1: $without
$main: $without"
stop

# --- a configuration file ----------------------------------------------------
jq -n --arg kernel "$kernel" '{"boot-source": {kernel_image_path: $kernel,
    boot_args: "console=ttyS0 panic=0"}, drives: [],
    "machine-config": {vcpu_count: 1, mem_size_mib: 128}}' >"$work/vm.json"
start "$SQUIB" --api-sock "$socket" --config-file "$work/vm.json" \
    --backend "$backend"
judge "--config-file, with the API thread made after the guest" \
    "$started_pid" "fc_api: 2 1
fc_vcpu 0: 2 1
$main: 2 1"
what="and it answers"
answer=$(curl -s --unix-socket "$socket" http://localhost/)
case $answer in
*'"state":"Running"'*) pass "$what" ;;
*) fail "$what" "$answer" ;;
esac
stop
"$SQUIB" --no-api --config-file "$work/vm.json" --backend "$backend" \
    >"$out" 2>"$err" </dev/null &
started_pid=$!
judge "--no-api" "$started_pid" "fc_vcpu 0: 2 1
$main: 2 1"
stop

# --- squib run ---------------------------------------------------------------
for flag in '' --no-seccomp; do
    "$SQUIB" run -q --backend "$backend" $flag -- \
        sh -c 'echo up; exec sleep 1000' >"$out" 2>"$err" </dev/null &
    started_pid=$!
    eventually 60 grep -q up "$out"
    want='2 1'
    [ -z "$flag" ] || want=$without
    judge "squib run $flag" "$started_pid" "fc_vcpu 0: $want
$main: $want"
    stop
done

# --- a forbidden call --------------------------------------------------------
start "$refuse" trap "$SQUIB" serve --api-sock "$socket" \
    --backend "$backend" --log-path "$work/log" \
    --metrics-path "$work/metrics"
boot
wait "$started_pid"
status=$?
started_pid=
what="a forbidden call: the status"
if [ "$status" = 148 ]; then pass "$what"; else fail "$what" "$status"; fi
what="its name on standard error"
if grep -q 'bad syscall ([0-9]*, memfd_create)\.$' "$err"; then
    pass "$what"
else
    fail "$what" "no such line"
fi
what="its number in the log"
if grep -q 'Shutting down VM after intercepting a bad syscall ([0-9]*)\.$' \
    "$work/log"; then pass "$what"; else fail "$what" "$(cat "$work/log")"; fi
what="a metric of it"
if tail -n 1 "$work/metrics" | jq -e '.seccomp.num_faults == 1' >/dev/null
then pass "$what"; else fail "$what" "$(cat "$work/metrics")"; fi

limited 60 "$refuse" trap "$SQUIB" run -q --backend "$backend" -- true \
    </dev/null
what="the same in squib run"
if ended "$what" 159; then
    if grep -q 'bad syscall ([0-9]*, memfd_create)\.$' "$err"; then
        pass "$what"
    else
        fail "$what" "no such line"
    fi
fi
finish
