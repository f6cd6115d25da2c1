#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# no_exec.sh REFUSE_EXEC: on a host that refuses executable memory, the
# software CPU says so once and interprets. REFUSE_EXEC makes such hosts.
. "${0%/*}/lib.sh"
strict=$1
[ "$(uname -m)" = x86_64 ] || skip "there is no translator for $(uname -m)"
need_guest
backend=soft,jit=on

guest() { # how, options of squib run
    how=$1
    shift
    limited 60 "$strict" "$how" "$SQUIB" run --backend "$backend" "$@" \
        -- echo hello </dev/null
    [ "$status" != 77 ] || skip "$(cat "$err")"
}
# The guest ran, and stderr is one line that matches.
says() { # what, pattern
    ended "$1" 0 || return
    if [ "$(cat "$out")" != hello ]; then
        fail "$1" "stdout is not the guest's"
    elif [ "$(wc -l <"$err")" != 1 ] || ! grep -Eq "$2" "$err"; then
        fail "$1" "not one line like '$2'"
    else
        pass "$1"
    fi
}

limited 60 "$SQUIB" run --backend soft,jit=on -- true </dev/null
if grep -q sanitizer "$err"; then
    says_why='interpreting, as the address sanitizer'
    normal=$says_why
else
    says_why='interpreting, as the host refuses executable memory: Perm'
    normal='^squib: the software CPU .translator., as asked$'
fi
guest shared
says "no executable mapping: one notice" \
    "^squib: the software CPU .*as asked; $says_why"
guest file
says "no executable memory file: one notice" \
    "^squib: the software CPU .*as asked; $says_why"
guest wx
says "no memory that is writable and executable: translated" "$normal"
guest shared -q
check "no executable mapping: quiet" 0 'hello
'
backend=soft,jit=off
guest shared
says "the interpreter needs none of it" '^squib: .*interpreter., as asked$'

# The same in the log of a machine from a file.
cat >"$work/vm.json" <<END
{"boot-source": {"kernel_image_path": "$kernel"}, "drives": [],
 "machine-config": {"vcpu_count": 1, "mem_size_mib": 128}}
END
: >"$work/log"
"$strict" shared "$SQUIB" --no-api --config-file "$work/vm.json" \
    --backend soft,jit=on --log-path "$work/log" --level Info \
    </dev/null >"$out" 2>"$err" &
started_pid=$!
eventually 60 grep -q 'Successfully started' "$work/log"
kill -TERM "$started_pid"
wait "$started_pid"
started_pid=
what="the log has the notice"
if [ "$(grep -Ec "$says_why" "$work/log")" = 1 ]; then
    pass "$what"
else
    cp "$work/log" "$out"
    fail "$what" "not once"
fi
finish
