# SPDX-License-Identifier: Apache-2.0
#
# A Debian kernel under the API, and a shell in it that runs what the test
# says; sourced by the device tests. On top of the boot tests' lib.sh.
#
#   make_initrd              busybox, the drivers, and an init
#   start_program            `squib serve` with a socket
#   is WHAT WANTED METHOD PATH [BODY]     a request and its status or answer
#   boot [MIB [WORDS]]       boot source, machine, start; the shell is there
#   guest COMMAND            runs it there; its output in $out, its status
#   metric .GROUP.NAME       of all lines of metrics so far, summed up
#
#   make_root                $root_image: Debian with fio, iperf3, socat, ...
#
# $vcpus, if it is set, is how many the machine has; $SQUIB_TEST_SERVE_OPTIONS
# is more for the program's command line.
#
# With that image as the first drive and "test=root" among the words, the
# shell runs inside it; /tmp is its only writable place.
. "${0%/*}/../boot/lib.sh"

socket=$work/api.socket
program=
metrics=$work/metrics
drivers="virtio_mmio virtio_pci virtio_blk virtio_net virtio_balloon virtio_mem virtio-rng
    vmw_vsock_virtio_transport virtio_pmem nd_pmem"

need_api() {
    need_kernel
    need_tool cpio curl jq
    busybox=${SQUIB_BUSYBOX:-$(command -v busybox)} || skip "no busybox"
    trap 'stop_program; cleanup' EXIT
}

stop_program() {
    [ -z "$program" ] || kill -TERM "$program" 2>/dev/null
    program=
}

initrd=$work/initrd
make_initrd() {
    tree=$cache/kernel/default/modules
    root=$work/initrd.root
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/mnt" \
        "$root/tmp" "$root/ko" "$root/root"
    cp "$busybox" "$root/bin/busybox"
    # What the drivers need comes first: insmod resolves nothing.
    for d in $drivers; do
        line=$(grep "/$d\.ko:" "$tree/modules.dep") || continue
        for m in $(echo "${line#*:}" | tr ' ' '\n' | tac) "${line%%:*}"; do
            [ -e "$root/ko/${m##*/}" ] || echo "${m##*/}" >>"$root/ko/order"
            cp "$tree/$m" "$root/ko/"
        done
    done
    cat >"$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for m in $(cat /ko/order); do insmod /ko/$m 2>/dev/null; done
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
if grep -q test=root /proc/cmdline; then
    mount -t ext4 -o ro /dev/vda /mnt || echo "no root"
    for d in proc sys dev; do mount -o bind /$d /mnt/$d; done
    mount -t tmpfs tmp /mnt/tmp
    in="chroot /mnt /bin/sh -c"
else
    in="sh -c"
fi
echo "=ready="
# Commands for busybox itself begin with "@".
while read -r line; do
    echo "=begin="
    case $line in
    @*) sh -c "${line#@}" ;;
    *) $in "$line" ;;
    esac </dev/null 2>&1
    end=$?
    echo # output need not end with a line's end
    echo "=end=$end="
done
END
    chmod 755 "$root/init"
    (cd "$root" && find . | cpio -o -H newc --quiet) >"$initrd" ||
        skip "cpio failed"
}

root_image=$work/root.img
# Sets $debian_root; once, also for a test that starts itself again. A program
# in it runs here as "$run_root $debian_root/usr/bin/NAME".
debian_packages() {
    [ "$(uname -m)" = x86_64 ] ||
        skip "the host is no x86-64: it cannot run the root's programs"
    debian_root=${SQUIB_TEST_DEBIAN_ROOT-}
    if [ -z "$debian_root" ]; then
        . "${0%/*}/../boot/debian_root.sh"
        debian_roots=device-root
        debian_root dash coreutils grep fio iperf3 socat curl e2fsprogs mount
        echo "# root $debian_root"
        export SQUIB_TEST_DEBIAN_ROOT="$debian_root"
    fi
    lib=$debian_root/usr/lib/x86_64-linux-gnu
    run_root="$lib/ld-linux-x86-64.so.2 --library-path $lib"
}

make_root() {
    need_tool mke2fs
    debian_packages
    limited 120 mke2fs -q -t ext4 -O ^has_journal -d "$debian_root" \
        "$root_image" 512M
    [ "$status" = 0 ] || { fail "make the root image" "mke2fs failed"; exit 1; }
}

root_drive() {
    drive root "$root_image" '"is_read_only": true'
}

start_program() { # options
    mkfifo "$work/keys" 2>/dev/null
    : >"$work/console"
    rm -f "$socket"
    "$SQUIB" serve --api-sock "$socket" --backend "$backend" \
        ${SQUIB_TEST_SERVE_OPTIONS-} "$@" \
        <"$work/keys" >"$work/console" 2>"$err" &
    program=$!
    exec 3>"$work/keys"
    eventually 20 listens "$socket" || {
        fail "the socket" "does not come up"
        exit 1
    }
}

api() { # method, path, body: prints the answer's body, then its status
    curl -s --unix-socket "$socket" -w '%{http_code}' -X "$1" \
        "http://localhost$2" ${3:+-d "$3"}
}

is() { # what, wanted, then the arguments of api
    what=$1 want=$2
    shift 2
    got=$(api "$@")
    if [ "$got" = "$want" ]; then pass "$what"; else
        fail "$what" "$got"
        return 1
    fi
}

# The same, only worth a word when it is not as wanted.
want() { # wanted status, then the arguments of api
    status=$1
    shift
    got=$(api "$@")
    [ "$got" = "$status" ] || { fail "$1 $2" "$got"; exit 1; }
}

wait_for() { # seconds, text at the start of a line of the console
    eventually "$1" there_or_gone "^$2"
    grep -aq "^$2" "$work/console"
}
there_or_gone() { # pattern
    grep -aq "$1" "$work/console" || gone "$program"
}

drive() { # id, path, more of the body
    want 204 PUT "/drives/$1" "{\"drive_id\": \"$1\", \"path_on_host\": \"$2\",
        \"is_root_device\": false${3:+, $3}}"
}

boot() { # MiB, words for the kernel
    want 204 PUT /boot-source "{\"kernel_image_path\": \"$kernel\",
        \"initrd_path\": \"$initrd\", \"boot_args\":
        \"console=ttyS0 reboot=k panic=1 loglevel=1 ${2-}\"}"
    want 204 PUT /machine-config \
        "{\"vcpu_count\": ${vcpus:-1}, \"mem_size_mib\": ${1:-256}}"
    want 204 PUT /metrics "{\"metrics_path\": \"$metrics\"}"
    want 204 PUT /actions '{"action_type": "InstanceStart"}'
    wait_for 120 =ready= || {
        cp "$work/console" "$out"
        fail "the guest" "does not come up"
        exit 1
    }
}

# Sends a command without waiting for its end.
guest_begin() { # command, whose lines become one
    ends=$(grep -ac '^=end=.*=' "$work/console")
    from=$(($(wc -c <"$work/console") + 1))
    printf '%s\n' "$(printf %s "$1" | tr '\n' ' ')" >&3
}

has_ended() {
    [ "$(grep -ac '^=end=.*=' "$work/console")" -gt "$ends" ]
}
ended_or_gone() {
    has_ended || gone "$program"
}

# Waits for it: $out, $status; 1 when it does not end.
guest_end() { # seconds
    status=
    eventually "$1" ended_or_gone
    has_ended || return 1
    tail -c "+$from" "$work/console" | tr -d '\r' |
        sed -n '/^=begin=$/,/^=end=/p' | sed '1d;/^=end=/,$d' >"$out"
    status=$(tail -c "+$from" "$work/console" | tr -d '\r' |
        sed -n 's/^=end=\([0-9]*\)=$/\1/p' | head -n 1)
    return 0
}

guest() { # command, seconds (60)
    guest_begin "$1"
    guest_end "${2:-60}"
}

# Runs it there and judges its status.
guest_ok() { # what, command, seconds
    if ! guest "$2" "${3:-60}"; then
        cp "$work/console" "$out"
        fail "$1" "did not end"
        exit 1
    elif [ "$status" != 0 ]; then
        fail "$1" "status $status in the guest"
        return 1
    fi
    pass "$1"
}

# Gives an interface an address.
address() { # interface, address
    guest_ok "$1 is $2" "@ip addr add $2 dev $1 && ip link set $1 up"
}

flush_metrics() {
    want 204 PUT /actions '{"action_type": "FlushMetrics"}'
}

metric() { # path for jq
    jq -s "map($1) | add" "$metrics"
}

# Resident memory of the monitor that guests' memory is counted in, in KiB.
resident() {
    sed -n 's/^RssShmem:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$program/status"
}

end_program() { # what
    exec 3>&-
    kill -TERM "$program"
    wait "$program"
    got=$?
    program=
    if [ "$got" = 143 ]; then pass "$1"; else fail "$1" "status $got"; fi
}
