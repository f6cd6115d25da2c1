#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# streams.sh [--short] [--pci] [VCPUS [KERNEL]]: the command of `squib run`
# behaves like a local process: streams, status, signals, environment. --short
# leaves out what does not depend on the number of vCPUs.
. "${0%/*}/lib.sh"
short=
if [ "${1-}" = --short ]; then
    short=1
    shift
fi
pci=
if [ "${1-}" = --pci ]; then
    pci=--pci
    shift
fi
vcpus=${1:-1}
mib=16 # of input
case $backend in *lockstep*) mib=1 ;; esac
need_guest
if [ -n "${2-}" ]; then
    kernel=$2
    [ -r "$kernel" ] || skip "no kernel $kernel"
fi
boot() {
    squib_run -k "$kernel" -c "$vcpus" $pci "$@"
}
echo "# $vcpus vCPU $pci, kernel $kernel"

# --- streams and status ------------------------------------------------------
head -c $((mib << 20)) /dev/urandom >"$work/big"
{ echo out; cat "$work/big"; } >"$work/expected"

boot -- sh -c 'echo out; echo err >&2; cat; exit 7' <"$work/big"
what="$mib MiB through stdin and stdout, status 7"
if ended "$what" 7; then
    if ! cmp -s "$work/expected" "$out"; then
        fail "$what" "stdout differs: $(wc -c <"$out") bytes"
    elif [ "$(cat "$err")" != err ]; then
        fail "$what" "stderr differs"
    else
        pass "$what"
    fi
fi
rm -f "$work/expected" "$out"

# Each stream on its own, all bytes, larger than any buffer on the way; the
# guest has the last word on the amount.
boot -- sh -c '
    n=$(wc -c); echo "$n bytes, $(nproc) CPU" >&2
    head -c 1000000 /dev/zero | tr "\0" "\377"
    head -c 300000 /dev/zero >&2' <"$work/big"
what="a megabyte on stdout, 300 kB on stderr"
if ended "$what" 0; then
    head -c 1000000 /dev/zero | tr '\0' '\377' >"$work/expected"
    {
        echo "$((mib << 20)) bytes, $vcpus CPU"
        head -c 300000 /dev/zero
    } >"$work/expected.err"
    if ! cmp -s "$work/expected" "$out"; then
        fail "$what" "stdout differs"
    elif ! cmp -s "$work/expected.err" "$err"; then
        fail "$what" "stderr differs"
    else
        pass "$what"
    fi
fi

# --- signals and time --------------------------------------------------------
# Runs in the background until the guest says "ready". The time limit passes
# signals on.
begin() { # options and command of `squib run`
    : >"$out"
    timeout --foreground -k 5 $((60 * slow * patience)) \
        "$SQUIB" run -q --backend "$backend" -k "$kernel" -c "$vcpus" \
        $pci "$@" >"$out" 2>"$err" </dev/null &
    started_pid=$!
    while ! grep -q ready "$out"; do
        kill -0 "$started_pid" 2>/dev/null || return 1
        sleep 0.1
    done
}
end() {
    wait "$started_pid"
    status=$?
    hung=
    started_pid=
}

what="SIGTERM goes to the command, which may handle it"
if begin -- sh -c 'exec 2>/dev/null # the shell tells of the sleep that ends
    trap "echo got TERM; exit 9" TERM; echo ready
    while :; do sleep 1; done'; then
    kill -TERM "$started_pid"
    end
    check "$what" 9 'ready
got TERM
'
else
    fail "$what" "the guest did not get ready"
fi

# --- streams that end early --------------------------------------------------
# The reader goes away: the command gets SIGPIPE (141), and nothing hangs.
what="a reader that takes 10 bytes and goes"
limited 60 sh -c '
    { "$@"; echo $? >&2; } | head -c 10' sh \
    "$SQUIB" run -q --backend "$backend" -k "$kernel" -c "$vcpus" \
    $pci -- yes 12345678 </dev/null
if ended "$what" 0; then
    if [ "$(cat "$out")" != "$(printf '12345678\n1')" ]; then
        fail "$what" "not the first 10 bytes"
    elif [ "$(cat "$err")" != 141 ]; then
        fail "$what" "not status 141 alone on stderr"
    else
        pass "$what"
    fi
fi

# --- what does not depend on the number of vCPUs -----------------------------
[ -z "$short" ] || finish

boot -- sh -c 'cat; echo end' </dev/null
check "an empty stdin ends at once" 0 'end
'

boot -- sh -c 'echo out; kill -9 $$' </dev/null
check "a command killed by signal 9: status 137" 137 'out
'

# Only what --env says is there, in the folder that --workdir says.
export A_WORD='two  words'
boot -e A_WORD -e B=x=y -e C= -e NOT_SET -w /tmp -u 12:34 \
    --hostname tester -- sh -c '
    echo "[$A_WORD][$B][${C-unset}][${NOT_SET-unset}]"
    pwd; id -u; id -g; hostname; echo "${SQUIB-unset}"' </dev/null
check "--env, --workdir, --user, --hostname" 0 '[two  words][x=y][][unset]
/tmp
12
34
tester
unset
'

boot -- no-such-command </dev/null
complains "a command that is not there: 127" 127 "no-such-command" ""
boot -- /etc </dev/null
complains "a command that is a directory: 126" 126 "/etc" ""

# Not SIGINT, which a shell's background processes ignore from birth.
what="SIGHUP ends a command that does not handle it: status 129"
if begin -- sh -c 'echo ready; exec sleep 1000'; then
    kill -HUP "$started_pid"
    end
    check "$what" 129 'ready
'
else
    fail "$what" "the guest did not get ready"
fi

# On a busy machine the guest may not even be there by then.
boot --timeout $((3 * slow)) -- sleep 1000 </dev/null
complains "--timeout ends a command that does not: status 124" 124 \
    "time limit" ""

# A command that reads only a little of a large stdin ends all the same.
boot -- head -c 5 <"$work/big"
what="a command that takes 5 bytes of $mib MiB"
if ended "$what" 0; then
    if head -c 5 "$work/big" | cmp -s - "$out"; then
        pass "$what"
    else
        fail "$what" "stdout differs"
    fi
fi

# A stdin that stays open does not keep a command that has ended.
what="a stdin that stays open"
mkfifo "$work/fifo"
limited 60 sh -c '
    exec 3<>"$0" <"$0"
    "$@" 3<&-
    echo "status $?"' "$work/fifo" \
    "$SQUIB" run -q --backend "$backend" -k "$kernel" -c "$vcpus" -- echo hello
check "$what" 0 'hello
status 0
'

finish
