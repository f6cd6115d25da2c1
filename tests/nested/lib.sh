# SPDX-License-Identifier: Apache-2.0
#
# What run.sh and arm64.sh have in common: a machine of QEMU's that runs
# static programs and says on its console how that went. Sourced by them.
#
# The verdict is what the machine writes to its console, since QEMU's exit
# status says nothing. Exit status: 0 passed, 1 failed, 77 nothing could be
# tested here (the reason is printed).

skip() {
    echo "skip: $1"
    exit 77
}

# A folder for the machine's files, $work, with those of its first process in
# $root. It goes when the script ends, and the machine with it.
begin() { # init, busybox
    work=$(mktemp -d)
    qemu=
    trap stop EXIT
    trap 'exit 130' INT TERM
    root=$work/root
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp"
    cp "$1" "$root/init"
    chmod 755 "$root/init"
    cp "$2" "$root/bin/busybox"
}
stop() {
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
    rm -rf "$work"
}

# What the agent of squib's own guest needs; the rest would only fill memory.
take_modules() { # their folder
    mkdir -p "$root/kernel/modules"
    (cd "$1" && find . -name 'modules.*' -o -name '*virtio*.ko' \
        -o -path '*/vmw_vsock/*.ko' -o -path '*/fs/fuse/*.ko' \
        -o -path '*/fs/overlayfs/*.ko' -o -path '*/net/core/failover.ko' \
        -o -name 'net_failover.ko' |
        cpio -pdm --quiet "$root/kernel/modules")
}

# Runs the machine, QEMU and its options, with $root as its initrd, and ends
# the script with the verdict: that a line "NAME: all passed" came.
run_machine() { # name, seconds it may take, file for the console or "", QEMU
    name=$1 timeout=$2 keep=$3
    shift 3
    (cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"
    "$@" -nodefaults -no-user-config -display none -no-reboot -monitor none \
        -serial "file:$work/console" -initrd "$work/initrd" \
        >"$work/qemu.log" 2>&1 &
    qemu=$!
    left=$timeout
    while kill -0 "$qemu" 2>/dev/null; do
        if [ "$left" -le 0 ]; then
            echo "the machine did not end within $timeout s; its last lines:"
            tail -n 20 "$work/console" 2>/dev/null || true
            exit 1
        fi
        sleep 1
        left=$((left - 1))
    done
    wait "$qemu" || { cat "$work/qemu.log"; exit 1; }
    qemu=
    [ -z "$keep" ] || cp "$work/console" "$keep"

    tr -d '\r' <"$work/console" >"$work/text"
    sed -n "/^$name: /p; /^FAIL/p; /^skip/p; /^[0-9]* passed, /p" \
        "$work/text"
    if grep -q "^$name: all passed\$" "$work/text"; then
        echo "ok - in $((timeout - left)) s"
        exit 0
    fi
    echo "FAIL - the machine's last lines:"
    tail -n 30 "$work/text"
    exit 1
}
