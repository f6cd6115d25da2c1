# SPDX-License-Identifier: Apache-2.0
#
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
