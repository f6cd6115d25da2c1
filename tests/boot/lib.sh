# SPDX-License-Identifier: Apache-2.0
#
# What the boot tests share; sourced by them, run from no particular folder.
#
# A test prints "ok - what" or "not ok - what" for each case and ends with
# finish, which gives the exit status. Every guest has a time limit here
# besides Meson's, so that one that hangs costs its own case alone. Limits are
# written as what a quiet machine surely needs; busy ones get $patience times
# that, as only a hang may reach them. What comes by itself is waited for with
# eventually, never by sleeping for as long as it takes here.
#
#   SQUIB                 the program
#   SQUIB_TEST_BACKEND    backend of the guests (soft)
#   SQUIB_TEST_SLOW       factor for all time limits (1); sanitizers need more
set -u
export LC_ALL=C
SQUIB=${SQUIB:-squib}
backend=${SQUIB_TEST_BACKEND:-soft}
slow=${SQUIB_TEST_SLOW:-1}
patience=4
# What a user has set must not change what is tested.
unset SQUIB_KERNEL SQUIB_BACKEND

case ${XDG_CACHE_HOME-} in
/*) cache=$XDG_CACHE_HOME/squib ;;
*) cache=$HOME/.cache/squib ;;
esac

work=$(mktemp -d) || exit 1
started_pid=
hung=
cleanup() {
    [ -z "$started_pid" ] || kill -TERM "$started_pid" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

out=$work/out
err=$work/err
failed=0

skip() { # reason
    [ "$failed" = 0 ] || exit 1
    echo "skip: $1"
    exit 77
}

finish() {
    [ "$failed" = 0 ] || exit 1
    exit 0
}

# The last case's streams, for the log of a failure; binary stays out.
show_streams() {
    for stream in out err; do
        [ -s "$work/$stream" ] || continue
        echo "    $stream ($(wc -c <"$work/$stream") bytes):"
        tail -c 3000 "$work/$stream" | tr -cd '\11\12\40-\176' |
            tail -n 30 | sed 's/^/    | /'
    done
}

pass() { # what
    echo "ok - $1"
}

fail() { # what, why
    echo "not ok - $1: $2"
    show_streams
    failed=1
}

# Runs a command under a time limit, its streams in $out and $err, stdin as
# it is, and its status in $status: 124 may be the command's own, so a limit
# that ran out is told apart in $hung.
limited() { # seconds, command...
    limit=$(($1 * slow * patience))
    shift
    hung=
    rm -f "$work/status"
    # The shell outlives the first signal, for the second to find the command.
    timeout -k 5 "$limit" sh -c '
        late=
        trap "late=1" TERM
        "$@"
        status=$?
        [ "$late" ] || echo "$status" >"$0"
    ' "$work/status" "$@" >"$out" 2>"$err" || :
    status=$(cat "$work/status" 2>/dev/null)
    [ -n "$status" ] || hung=1
}

# As many vCPUs, or as the backend has: in lockstep there is one.
cpus() { # number
    case $backend in *lockstep*) echo 1 ;; *) echo "$1" ;; esac
}

# Tries a command until it succeeds; 1 when the time is over.
eventually() { # seconds, command...
    tries_left=$(($1 * slow * patience * 10))
    shift
    until "$@"; do
        tries_left=$((tries_left - 1))
        [ "$tries_left" -gt 0 ] || return 1
        sleep 0.1
    done
}
gone() { # process
    ! kill -0 "$1" 2>/dev/null
}
# Whether somebody listens at a Unix socket: the file alone comes earlier.
listens() { # path
    awk -v path="$1" '$4 == "00010000" && $NF == path { found = 1 }
        END { exit !found }' /proc/net/unix
}

squib_run() { # options and command of `squib run`
    limited 60 "$SQUIB" run -q --backend "$backend" "$@"
}

# Judges the last run by its status, and $out and $err by what they hold.
ended() { # what, status
    if [ -n "$hung" ]; then
        fail "$1" "did not end within $limit s"
    elif [ "$status" != "$2" ]; then
        fail "$1" "status $status, not $2"
    else
        return 0
    fi
    return 1
}

check() { # what, status, stdout[, stderr]
    ended "$1" "$2" || return 1
    printf %s "$3" | cmp -s - "$out" || {
        fail "$1" "stdout differs"
        return 1
    }
    printf %s "${4-}" | cmp -s - "$err" || {
        fail "$1" "stderr differs"
        return 1
    }
    pass "$1"
}

# An error is one message of squib's that names the fact, with what to do, if
# there is something; and no sign of a crash. $3 is a pattern for grep -E that
# the message must match, $4 one for the advice, or "".
complains() { # what, status, fact, advice
    ended "$1" "$2" || return 1
    if [ "$(grep -c '^squib: ' "$err")" != 1 ]; then
        fail "$1" "not exactly one message"
    elif ! grep '^squib: ' "$err" | grep -Eq -e "$3"; then
        fail "$1" "no message like '$3'"
    elif [ -n "$4" ] && ! grep '^  do: ' "$err" | grep -Eq -e "$4"; then
        fail "$1" "no advice like '$4'"
    elif [ "$(grep -c 'do: ' "$err")" -gt 1 ]; then
        fail "$1" "more than one advice"
    elif grep -Eqi 'sanitizer|runtime error|assert|core dumped' "$err"; then
        fail "$1" "a crash report"
    else
        pass "$1"
        return 0
    fi
    return 1
}

need_tool() { # tool...
    for tool; do
        command -v "$tool" >/dev/null || skip "no $tool"
    done
}

# Tests that boot Linux call these first. $kernel is Debian's kernel.
need_kernel() {
    kernel=$cache/kernel/default/vmlinuz
    [ -r "$kernel" ] ||
        skip "no kernel in $cache/kernel/default (make kernel-fetch)"
}

need_guest() {
    need_kernel
    "$SQUIB" doctor >"$work/doctor" 2>&1 || :
    for part in agent busybox; do
        if ! grep -q "^ok  *$part" "$work/doctor"; then
            skip "squib doctor: $(grep " $part " "$work/doctor" |
                head -n 1)"
        fi
    done
}
