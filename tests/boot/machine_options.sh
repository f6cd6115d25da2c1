#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Options of `squib run` about the machine: published ports, disks, and the
# machine as a configuration file.
. "${0%/*}/lib.sh"

bad() { # what, fact, advice, then options
    what=$1 fact=$2 advice=$3
    shift 3
    limited 20 "$SQUIB" run -q --backend "$backend" "$@" -- true </dev/null
    complains "$what" 125 "$fact" "$advice"
}
bad "a port alone" "'80' is not \[IP:\]HOST:GUEST" "8080:80" -p 80
bad "a port that is none" "'x:80' is not" "8080:80" -p x:80
bad "a port that is too large" "'1:65536' is not" "8080:80" -p 1:65536
bad "guest port 0" "'1:0' is not" "8080:80" -p 1:0
bad "an address that is none" "'1.2.3:1:2' is not" "8080:80" -p 1.2.3:1:2
bad "an address of another host" "cannot listen on 192.0.2.1:8080" "" \
    -p 192.0.2.1:8080:80
bad "a disk that is missing" "disk /no/such: No such file" "image" \
    --disk /no/such
bad "a disk without a name" "':ro' is no path|:ro: No such" "" --disk :ro
bad "--no-host without a user network" "is about --net user" "" --no-host
bad "--dry-run of what has no equal" "no equal" "tap=NAME" --dry-run \
    -p 0:80

need_guest
busybox=$("$SQUIB" doctor 2>/dev/null |
    sed -n 's/^ok  *busybox  *\([^ ]*\).*/\1/p')
[ -x "$busybox" ] || busybox=$(command -v busybox) || skip "no busybox here"

# --- ports -------------------------------------------------------------------
start_server() { # command of the guest
    : >"$out"
    "$SQUIB" run -q --backend "$backend" -p 0:8080 -p '[::1]:0:9090' -- \
        sh -c "echo up; $1" >"$out" 2>"$err" </dev/null &
    started_pid=$!
    eventually 60 grep -q up "$out" || {
        fail "the server starts" "late"
        finish
    }
    port=$(sed -n 's/.* 127.0.0.1:\([0-9]*\) is port 8080.*/\1/p' "$err")
}
stop_server() {
    kill -TERM "$started_pid"
    wait "$started_pid"
    started_pid=
}
echo_of() { # file: what comes back for it
    timeout $((60 * slow * patience)) "$busybox" nc 127.0.0.1 "$port" <"$1"
}

start_server 'exec nc -ll -p 8080 -e cat'
echo there >"$work/word"
# It says "up" before it listens.
answers() {
    [ "$(echo_of "$work/word" 2>/dev/null)" = there ]
}
eventually 60 answers || fail "the server" "does not answer"
head -c 3000000 /dev/urandom >"$work/large"
head -c 70000 /dev/urandom >"$work/small"
: >"$work/empty"
what="3 MB there and back, with both ends of the stream"
if echo_of "$work/large" | cmp - "$work/large"; then
    pass "$what"
else
    fail "$what" "other bytes came back"
fi
what="a client that says nothing"
if [ -z "$(echo_of "$work/empty")" ]; then pass "$what"; else
    fail "$what" "bytes came back"
fi
# No more at once: busybox's nc lets two wait, and the guest's kernel then
# refuses.
what="24 clients, two at once"
i=0
while [ $i -lt 12 ]; do
    i=$((i + 1))
    clients=
    for k in 1 2; do
        echo_of "$work/small" >"$work/back.$i.$k" &
        clients="$clients $!"
    done
    for pid in $clients; do wait "$pid"; done
done
same=0
for f in "$work"/back.*; do
    cmp -s "$f" "$work/small" && same=$((same + 1))
done
if [ $same = 24 ]; then pass "$what"; else fail "$what" "only $same"; fi
what="a port of the guest where nobody listens"
port6=$(sed -n 's/.*\[::1\]:\([0-9]*\) is port 9090.*/\1/p' "$err")
if [ -n "$port6" ] &&
    [ -z "$(echo x | timeout $((20 * slow * patience)) "$busybox" nc ::1 "$port6" 2>/dev/null)" ]
then
    pass "$what"
else
    fail "$what" "it answers"
fi
stop_server

# --- disks -------------------------------------------------------------------
head -c 1048576 /dev/zero >"$work/disk"
head -c 1048576 /dev/zero >"$work/other"
squib_run --disk "$work/disk" --disk "$work/other:ro" -- sh -c '
    printf guest >/dev/vda && sync
    printf no >/dev/vdb && sync
    cat /sys/block/vda/ro /sys/block/vdb/ro' </dev/null
what="two disks, one to read only"
if ended "$what" 0; then
    if [ "$(cat "$out")" != "0
1" ]; then
        fail "$what" "not what the guest sees"
    elif [ "$(head -c 5 "$work/disk")" != guest ]; then
        fail "$what" "the guest's bytes are not on the disk"
    elif ! tr -d '\0' <"$work/other" | cmp -s - /dev/null; then
        fail "$what" "the read-only disk was written"
    else
        pass "$what"
    fi
fi

# --- the machine as a file ---------------------------------------------------
XDG_CACHE_HOME=$work/cache
export XDG_CACHE_HOME
limited 60 "$SQUIB" run -q --dry-run -k "$kernel" -m 256M \
    -c "$(cpus 2)" \
    --disk "$work/disk" --backend "$backend" -- \
    sh -c 'echo "on $(nproc) of $(cat /sys/block/vda/size)"' </dev/null
what="--dry-run"
if ended "$what" 0; then
    cp "$out" "$work/vm.json"
    limited 60 "$SQUIB" --no-api --config-file "$work/vm.json" \
        --backend "$backend" </dev/null
    what="the machine that --dry-run prints"
    if ended "$what" 0; then
        if tr -d '\r' <"$out" | grep -qx "on $(cpus 2) of 2048"; then
            pass "$what"
        else
            fail "$what" "another one ran"
        fi
    fi
fi
finish
