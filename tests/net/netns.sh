# SPDX-License-Identifier: Apache-2.0
#
# What all tests with networks share.

# Starts the test again in a network namespace of its own, with loopback up.
own_netns() { # the test's arguments
    if [ -z "${SQUIB_TEST_IN_NETNS:-}" ]; then
        [ "$(id -u)" = 0 ] || skip "taps need root"
        [ -c /dev/net/tun ] || skip "no /dev/net/tun"
        need_tool ip unshare
        unshare -n true 2>/dev/null || skip "no network namespaces"
        unshare -n ip tuntap add squib0 mode tap 2>/dev/null ||
            skip "taps cannot be made here"
        rm -rf "$work"
        trap - EXIT
        SQUIB_TEST_IN_NETNS=1 exec unshare -n "$0" "$@"
    fi
    ip link set lo up
}

# Hands out $work/www with busybox; $server is its process. 1 when the port is
# taken. Somebody else may answer there until this one has found out.
file_server() { # address, port
    echo "$$" >"$work/www/whose"
    "$busybox" httpd -f -p "$1:$2" -h "$work/www" 2>/dev/null &
    server=$!
    eventually 30 serves_or_gone "http://$1:$2/whose"
    ! gone "$server"
}
serves_or_gone() { # URL of the file that has our number
    [ "$("$busybox" wget -q -O - "$1" 2>/dev/null)" = "$$" ] || gone "$server"
}

# Whether somebody listens at this TCP port.
tcp_listens() { # port
    hex=$(printf %04X "$1")
    awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port {
        found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6
}
