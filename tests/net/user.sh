#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The user-mode network: no privileges, addresses from the agent, downloads
# byte-exact, and a helper that has given up what it does not need.
. "$(dirname "$0")/lib.sh"

need_guest
need_server httpd nc
helper=${SQUIB%/*}/src/usernet/squib-usernet
[ -n "${SQUIB_USERNET:-}" ] && helper=$SQUIB_USERNET
[ -x "$helper" ] || skip "squib was built without its network helper"
serve 127.0.0.1

squib_run --net user -- sh -c '
    ip -o -4 addr show eth0 | grep -o "inet 10.0.2.15/24"
    ip route | grep -o "^default via 10.0.2.2 dev eth0"
    cat /etc/resolv.conf
    ping -c 1 -W 5 10.0.2.2 >/dev/null && echo pong' </dev/null
check "the agent configures eth0" 0 "inet 10.0.2.15/24
default via 10.0.2.2 dev eth0
nameserver 10.0.2.3
pong
"
squib_run -- sh -c 'ls /sys/class/net' </dev/null
check "without --net there is none" 0 "lo
"
# What the agent did by hand, DHCP does too.
squib_run --net user --append squib.net=10.0.2.99/24 -- sh -c '
    printf "#!/bin/sh\necho \$1 \$ip \$router \$dns >/tmp/lease\n" >/tmp/s
    chmod +x /tmp/s
    udhcpc -q -n -i eth0 -s /tmp/s >/dev/null 2>&1
    cat /tmp/lease' </dev/null
check "DHCP answers" 0 "bound 10.0.2.15 10.0.2.2 10.0.2.3
"
squib_run --net user -- wget -q -O - "http://10.0.2.2:$port/small" \
    </dev/null
check "the host's loopback is 10.0.2.2" 0 "small
"
squib_run --net user --no-host -- sh -c "
    wget -q -T 10 -O - http://10.0.2.2:$port/small 2>/dev/null || echo none
    ping -c 1 -W 5 10.0.2.2 >/dev/null && echo pong" </dev/null
check "with --no-host it is out of reach" 0 "none
pong
"
check_download "$mib MiB down" 10.0.2.2 --net user </dev/null
check_upload "$mib MiB up" 10.0.2.2 --net user

# The helper while a guest sleeps: no new privileges, filtered system calls,
# no descriptors but its own.
"$SQUIB" run -q --backend "$backend" --net user -- sleep 10000 \
    </dev/null >/dev/null 2>&1 &
monitor=$!
pid=
has_helper() {
    pid=$(pgrep -P "$monitor" -f squib-usernet)
}
# It shuts itself in when it has started.
shut_in() {
    grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$pid/status"
}
eventually 60 has_helper
what="the helper is shut in"
if [ -z "$pid" ]; then
    fail "$what" "there is none"
else
    eventually 30 shut_in
    : >"$out"
    cp "/proc/$pid/status" "$err"
    if ! grep -q '^NoNewPrivs:[[:space:]]*1$' "$err"; then
        fail "$what" "it may gain privileges"
    elif ! grep -q '^CapEff:[[:space:]]*0*$' "$err"; then
        fail "$what" "it has capabilities"
    elif "$helper" --help 2>&1 | grep -q 'without seccomp'; then
        pass "$what (built without libseccomp)"
    elif ! grep -q '^Seccomp:[[:space:]]*2$' "$err"; then
        fail "$what" "it may call everything"
    else
        pass "$what"
    fi
fi
what="a dead helper does not take the monitor along"
if [ -n "$pid" ]; then
    kill -KILL "$pid"
    sleep 1
    if kill -0 "$monitor" 2>/dev/null; then
        pass "$what"
    else
        fail "$what" "it is gone"
    fi
fi
kill -KILL "$monitor" 2>/dev/null
what="helpers end with their monitors"
"$SQUIB" run -q --backend "$backend" --net user -- sleep 10000 \
    </dev/null >/dev/null 2>&1 &
monitor=$!
eventually 60 has_helper
kill -KILL "$monitor" 2>/dev/null
if [ -n "$pid" ] && eventually 30 gone "$pid"; then
    pass "$what"
else
    fail "$what" "one is left"
fi

squib_run --net lan -- true </dev/null
complains "an unknown kind" 125 "'lan' is no kind of network" 'tap=NAME'
limited 60 env SQUIB_USERNET=/nonexistent "$SQUIB" run -q \
    --backend "$backend" --net user -- true </dev/null
complains "a helper that is not there" 125 'network helper /nonexistent' ''
finish
