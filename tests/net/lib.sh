# SPDX-License-Identifier: Apache-2.0
#
# What the network tests share, on top of the boot tests' lib.sh. A server of
# busybox on the host hands out a file of random bytes.
. "$(dirname "$0")/../boot/lib.sh"
. "$(dirname "$0")/netns.sh"

busybox=
for b in "${SQUIB_BUSYBOX:-}" /bin/busybox /usr/bin/busybox; do
    [ -x "$b" ] && busybox=$b && break
done

need_server() { # applet...
    [ -n "$busybox" ] || skip "no busybox"
    for applet; do
        "$busybox" --list | grep -qx "$applet" ||
            skip "busybox has no $applet"
    done
}

# Starts the server on a free port: $port. 64 MiB, less with sanitizers.
serve() { # address
    mib=$((64 / slow))
    [ "$mib" -gt 0 ] || mib=1
    mkdir "$work/www"
    head -c $((mib * 1048576)) /dev/urandom >"$work/www/blob"
    echo small >"$work/www/small"
    for port in 38080 38081 38082 38083 38084 38085 38086 38087; do
        if file_server "$1" "$port"; then
            started_pid=$server
            return
        fi
    done
    skip "no free port on $1"
}

# The blob comes out of the guest as it went in.
check_download() { # what, address seen by the guest, options...
    what=$1 from=$2
    shift 2
    limited 120 "$SQUIB" run -q --backend "$backend" -m 256M "$@" -- \
        wget -q -O - "http://$from:$port/blob"
    ended "$what" 0 || return
    if cmp -s "$out" "$work/www/blob"; then
        pass "$what"
    else
        fail "$what" "$(wc -c <"$out") bytes that differ"
    fi
    : >"$out"
}

# Data that goes in at the guest's end comes out at the host's. nc of busybox
# ends when either side does, so its input must stay open.
check_upload() { # what, address seen by the guest, options...
    what=$1 from=$2
    shift 2
    up=$((port + 100))
    mkfifo "$work/open"
    exec 9<>"$work/open"
    "$busybox" nc -l -p "$up" >"$work/up" <"$work/open" 9>&- &
    listener=$!
    eventually 30 tcp_listens "$up" || fail "$what" "nc does not listen"
    limited 120 "$SQUIB" run -q --backend "$backend" -m 256M "$@" -- \
        nc "$from" "$up" <"$work/www/blob" 9>&-
    # It ends with the connection, but it may have much to write still.
    eventually 30 gone "$listener" || kill "$listener" 2>/dev/null
    if cmp -s "$work/up" "$work/www/blob"; then
        pass "$what"
    else
        fail "$what" "$(wc -c <"$work/up") bytes that differ"
    fi
    exec 9>&-
    rm -f "$work/up" "$work/open"
}
