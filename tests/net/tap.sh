#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A guest on a tap, in a network namespace of the test's own. Needs root and
# /dev/net/tun.
. "$(dirname "$0")/lib.sh"

own_netns
need_guest
need_server httpd nc ping
ip tuntap add squib0 mode tap
ip addr add 172.31.9.1/24 dev squib0
ip link set squib0 up
serve 172.31.9.1
guest="--net tap=squib0 --append squib.net=172.31.9.2/24,172.31.9.1"

squib_run $guest -- sh -c 'ping -c 3 -i 0.2 172.31.9.1 | grep received' \
    </dev/null
check "ping out" 0 "3 packets transmitted, 3 packets received, 0% packet loss
"
check_download "$mib MiB down" 172.31.9.1 $guest </dev/null
check_upload "$mib MiB up" 172.31.9.1 $guest

# From the namespace to the guest, which serves what it has fetched.
"$SQUIB" run -q --backend "$backend" -m 512M $guest -- sh -c "
    wget -q -O /tmp/copy http://172.31.9.1:$port/blob
    httpd -p 80 -h /tmp
    sleep 10000" </dev/null >/dev/null 2>&1 &
monitor=$!
what="ping in"
eventually 60 "$busybox" ping -c 1 -W 1 172.31.9.2 >"$out" 2>&1
if "$busybox" ping -c 3 -i 0.2 172.31.9.2 >"$out" 2>&1; then
    pass "$what"
else
    fail "$what" "no answer"
fi

what="$mib MiB back, in large segments"
eventually 60 "$busybox" wget -q -O "$work/back" http://172.31.9.2/copy 2>"$err"
if ! cmp -s "$work/back" "$work/www/blob"; then
    fail "$what" "$(wc -c <"$work/back") bytes that differ"
else
    pass "$what"
fi
rm -f "$work/back"

# A tap serves one machine.
: >"$err"
limited 60 "$SQUIB" run -q --backend "$backend" $guest -- true </dev/null
complains "a tap in use" 125 'tap squib0 is in use' ''
kill -KILL "$monitor" 2>/dev/null

squib_run --net tap=squib9 -- true </dev/null
complains "no such tap" 125 'no tap squib9' 'ip tuntap add squib9'
squib_run --net tap=lo -- true </dev/null
complains "not a tap" 125 'lo is not a plain tap' 'ip tuntap'
squib_run --net tap=much-too-long-name -- true </dev/null
complains "a long name" 125 'cannot be an interface' ''
finish
