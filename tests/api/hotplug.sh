#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A Debian guest with --enable-pci: every device works over PCI, and drives,
# pmem and network interfaces come and go while it runs.
. "${0%/*}/../boot/lib.sh"
command -v curl >/dev/null || skip "there is no curl here"
need_kernel
need_tool cpio cmp
busybox=${SQUIB_BUSYBOX:-$(command -v busybox)} || skip "no busybox"
tree=$cache/kernel/default/modules/kernel

socket=$work/firecracker.socket
program=
fail() { # what
    echo "not ok - $1"
    failed=1
}
check() { # what, then a command
    what=$1
    shift
    if "$@"; then pass "$what"; else fail "$what"; fi
}
stop_program() {
    [ -z "$program" ] || kill -TERM "$program" 2>/dev/null
}
trap 'stop_program; cleanup' EXIT

# --- a guest that obeys its console ------------------------------------------
root=$work/initrd.root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/ko"
cp "$busybox" "$root/bin/busybox"
order='drivers/virtio/virtio_ring drivers/virtio/virtio
    drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci_modern_dev
    drivers/virtio/virtio_pci drivers/block/virtio_blk
    drivers/char/hw_random/virtio-rng drivers/virtio/virtio_balloon
    net/core/failover drivers/net/net_failover drivers/net/virtio_net
    net/vmw_vsock/vsock net/vmw_vsock/vmw_vsock_virtio_transport_common
    net/vmw_vsock/vmw_vsock_virtio_transport drivers/nvdimm/libnvdimm
    drivers/nvdimm/nd_btt drivers/nvdimm/nd_pmem drivers/nvdimm/nd_virtio
    drivers/nvdimm/virtio_pmem drivers/virtio/virtio_mem'
for m in $order; do
    # Some kernels have a few of them built in.
    if [ -f "$tree/$m.ko" ]; then
        cp "$tree/$m.ko" "$root/ko"
        echo "insmod /ko/${m##*/}.ko || echo no ${m##*/}"
    fi
done >"$work/insmod"
{
    cat <<'END'
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
cd /sys/bus/pci/devices
devices() { ls /sys/bus/pci/devices | wc -l; }
until_true() { # command: a while for what comes by itself
    i=0
    until "$@"; do
        i=$((i + 1))
        [ $i -lt 200 ] || return 1
        usleep 50000
    done
}
until_there() { # path
    until_true [ -e "$1" ]
}
inflated() { # interrupts of the balloon's queue on both CPUs
    [ "$(awk '/-inflate/ { print $2 + $3 }' /proc/interrupts)" -gt 0 ]
}
let_go() { # block device: of the PCI function it is on
    p=$(readlink -f /sys/block/$1)
    p=${p%/virtio*}
    echo 1 >/sys/bus/pci/devices/${p##*/}/remove
}
END
    cat "$work/insmod"
    cat <<'END'
echo "guest is up"
while read -r line; do
    eval "$line"
done
END
} >"$root/init"
chmod 755 "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd" ||
    skip "cpio failed"
mkfifo "$work/keys"

trap '' PIPE # a program that has died is found out by its silence
n=0
guest() { # commands: true if they are in the guest; their output in $said
    n=$((n + 1))
    printf '%s\n' "{ $1; }; echo end$n \$?" | tr '\n' ' ' >&3
    echo >&3
    i=0
    until grep -q "^end$n " "$work/console"; do
        i=$((i + 1))
        [ $i -lt $((300 * slow)) ] || { said="no answer"; return 1; }
        sleep 0.1
    done
    said=$(sed -n "/^end$((n - 1)) /,/^end$n /p" "$work/console" |
        grep -v "^end")
    grep -q "^end$n 0" "$work/console"
}
in_guest() { # what, commands
    if guest "$2"; then pass "$1"; else fail "$1: $said"; fi
}
says() { # what, commands, their output
    guest "$2"
    if [ "$said" = "$3" ]; then pass "$1"; else fail "$1: $said"; fi
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
        fail "$what: $got"
    fi
}
refused() { # what, words, then the arguments of api
    what=$1 want=$2
    shift 2
    got=$(api "$@")
    case $got in
    *"$want"*400) pass "$what" ;;
    *) fail "$what: $got" ;;
    esac
}
drive() { # id, file
    echo "{\"drive_id\": \"$1\", \"path_on_host\": \"$work/$2\",
           \"is_root_device\": false, \"is_read_only\": false}"
}
pmem() { # id, file
    echo "{\"id\": \"$1\", \"path_on_host\": \"$work/$2\"}"
}

# --- the machine -------------------------------------------------------------
for file in first second third; do
    head -c 4194304 /dev/urandom >"$work/$file"
done
for file in near far fourth; do
    head -c 4194304 /dev/urandom >"$work/$file"
done
"$SQUIB" serve --api-sock "$socket" --backend "$backend" --enable-pci \
    --log-path "$work/log" <"$work/keys" >>"$work/console" 2>"$err" &
program=$!
exec 3>"$work/keys"
i=0
until [ -S "$socket" ]; do
    i=$((i + 1))
    [ $i -lt 200 ] || { fail "the socket comes up"; exit 1; }
    sleep 0.05
done
api PUT /boot-source "{\"kernel_image_path\": \"$kernel\",
    \"initrd_path\": \"$work/initrd\", \"boot_args\":
    \"console=ttyS0 reboot=k panic=-1 quiet cryptomgr.notests\"}" >/dev/null
api PUT /machine-config '{"vcpu_count": 2, "mem_size_mib": 256}' >/dev/null
api PUT /drives/first "$(drive first first)" >/dev/null
api PUT /pmem/near "$(pmem near near)" >/dev/null
api PUT /entropy '{}' >/dev/null
api PUT /balloon '{"amount_mib": 8, "deflate_on_oom": false}' >/dev/null
api PUT /vsock "{\"guest_cid\": 3, \"uds_path\": \"$work/vsock\"}" >/dev/null
api PUT /hotplug/memory '{"total_size_mib": 256}' >/dev/null
api PUT /metrics "{\"metrics_path\": \"$work/metrics\"}" >/dev/null
refused "a device cannot go before there is a guest" "before starting" \
    DELETE /drives/first
is "the start" 204 PUT /actions '{"action_type": "InstanceStart"}'
i=0
until grep -q "^guest is up" "$work/console"; do
    i=$((i + 1))
    [ $i -lt $((600 * slow)) ] || { fail "the guest comes up"; exit 1; }
    sleep 0.1
done
echo "end0 0" >>"$work/console"
pass "the guest is up"

# --- every device over PCI ---------------------------------------------------
says "host bridge and six devices" "devices" 7
says "none is on virtio-mmio" \
    'for d in /sys/bus/virtio/devices/*; do
        case $(readlink -f $d) in */pci0000:00/*) ;; *) echo $d ;; esac;
        [ -e $d/driver ] || echo "no driver: $d"; done' ""
in_guest "each has vectors of its own" \
    '[ $(grep -c "PCI-MSI.*virtio" /proc/interrupts) -ge 8 ]'
in_guest "the drive can be read" "cat /dev/vda >/first"
says "what was read is what is there" "sha256sum </first" \
    "$(sha256sum <"$work/first")"
in_guest "the drive can be written" \
    "dd if=/dev/vda of=/dev/vda bs=64k seek=32 count=32 conv=fsync 2>/dev/null"
says "the pmem is there" "until_there /dev/pmem0 && sha256sum </dev/pmem0" \
    "$(sha256sum <"$work/near")"
in_guest "entropy" "dd if=/dev/hwrng of=/dev/null bs=64 count=4 2>/dev/null"
in_guest "its balloon is inflated" "until_true inflated"
is "more memory" 204 PATCH /hotplug/memory '{"requested_size_mib": 128}'
i=0
until api GET /hotplug/memory | grep -q '"plugged_size_mib":128'; do
    i=$((i + 1))
    [ $i -lt $((100 * slow)) ] || break
    sleep 0.1
done
check "the guest takes it" [ $i -lt $((100 * slow)) ]

# --- drives ------------------------------------------------------------------
is "a drive comes" 204 PUT /drives/hot "$(drive hot second)"
in_guest "the guest finds it by itself" "until_there /dev/vdb"
says "what it has" "sha256sum </dev/vdb" "$(sha256sum <"$work/second")"
in_guest "it is written" \
    "dd if=/dev/vda of=/dev/vdb bs=64k conv=fsync 2>/dev/null"
check "and the file has it" cmp -s "$work/first" "$work/second"
refused "its ID is taken" "Device ID in use" \
    PUT /drives/hot "$(drive hot third)"
refused "no root drive comes later" "A root block device already exists" \
    PUT /drives/boss "{\"drive_id\": \"boss\", \"is_root_device\": true,
        \"path_on_host\": \"$work/third\"}"
refused "nor one without a file" "No such file" \
    PUT /drives/lost "$(drive lost nowhere)"
refused "what is not there cannot go" "Device not found" DELETE /drives/lost
api GET /vm/config >"$work/config"
check "the configuration shows it" grep -q '"drive_id":"hot"' "$work/config"
check "and not those that were refused" \
    sh -c "! grep -q 'lost\|boss' '$work/config'"
is "a limiter for it" 204 PATCH /drives/hot \
    '{"drive_id": "hot", "rate_limiter":
      {"ops": {"size": 1000, "refill_time": 100}}}'
in_guest "the guest lets go of it" 'let_go vdb; [ ! -e /dev/vdb ]'
is "it goes" 204 DELETE /drives/hot
refused "once" "Device not found" DELETE /drives/hot
says "the bus is as before" "echo 1 >/sys/bus/pci/rescan; devices" 7
is "another one comes" 204 PUT /drives/hot2 "$(drive hot2 third)"
says "in its place" "until_there /dev/vdb && sha256sum </dev/vdb" \
    "$(sha256sum <"$work/third")"
is "paused" 204 PATCH /vm '{"state": "Paused"}'
is "while paused one more" 204 PUT /drives/hot3 "$(drive hot3 fourth)"
is "resumed" 204 PATCH /vm '{"state": "Resumed"}'
in_guest "the guest finds that too" "until_there /dev/vdc"
in_guest "it lets go of both" "let_go vdb; let_go vdc; [ ! -e /dev/vdc ]"
is "the first goes" 204 DELETE /drives/hot2
is "the other goes" 204 DELETE /drives/hot3
round=0
while [ $round -lt 10 ]; do
    api PUT /drives/turn "$(drive turn second)"
    guest "until_there /dev/vdb && sha256sum </dev/vdb && let_go vdb" ||
        echo "round $round: $said"
    api DELETE /drives/turn
    round=$((round + 1))
done >"$work/rounds"
says "ten times in and out" "devices" 7
check "without an error" \
    [ "$(cat "$work/rounds")" = 204204204204204204204204204204204204204204204204204204204204 ]

# --- pmem --------------------------------------------------------------------
is "pmem comes" 204 PUT /pmem/hot "$(pmem hot far)"
says "the guest finds it by itself" \
    "until_there /dev/pmem1 && sha256sum </dev/pmem1" \
    "$(sha256sum <"$work/far")"
in_guest "it is written" \
    "dd if=/dev/vda of=/dev/pmem1 bs=64k conv=fsync 2>/dev/null"
check "and the file has it" cmp -s "$work/first" "$work/far"
refused "its ID is taken" "Device ID in use" PUT /pmem/hot "$(pmem hot far)"
refused "no root pmem comes later" "Attempt to add pmem as a root device" \
    PUT /pmem/boss "{\"id\": \"boss\", \"path_on_host\": \"$work/far\",
        \"root_device\": true}"
in_guest "the guest lets go of it" "let_go pmem1"
is "it goes" 204 DELETE /pmem/hot
refused "once" "Device not found" DELETE /pmem/hot
says "the other one still works" "sha256sum </dev/pmem0" \
    "$(sha256sum <"$work/near")"

# --- network -----------------------------------------------------------------
tap=sqhot$$
if ip tuntap add "$tap" mode tap 2>/dev/null; then
    trap 'ip link del "$tap" 2>/dev/null; stop_program; cleanup' EXIT
    is "an interface comes" 204 PUT /network-interfaces/hot \
        "{\"iface_id\": \"hot\", \"host_dev_name\": \"$tap\",
          \"guest_mac\": \"06:00:00:00:00:09\"}"
    says "the guest finds it by itself" \
        "until_there /sys/class/net/eth0 && cat /sys/class/net/eth0/address" \
        06:00:00:00:00:09
    refused "its MAC is taken" "The MAC address is already in use" \
        PUT /network-interfaces/two "{\"iface_id\": \"two\",
            \"host_dev_name\": \"$tap\",
            \"guest_mac\": \"06:00:00:00:00:09\"}"
    in_guest "the guest lets go of it" \
        'p=$(readlink -f /sys/class/net/eth0); p=${p%/virtio*};
         echo 1 >/sys/bus/pci/devices/${p##*/}/remove'
    is "it goes" 204 DELETE /network-interfaces/hot
    refused "once" "Device not found" DELETE /network-interfaces/hot
else
    echo "# network interfaces were not tested: no tap can be made here"
fi

# --- metrics, and a guest that does not let go -------------------------------
is "metrics" 204 PUT /actions '{"action_type": "FlushMetrics"}'
check "they know the first drive" \
    sh -c "tail -n 1 '$work/metrics' | grep -q '\"block_first\":'"
check "and no counter ran backwards" \
    sh -c "! tail -n 1 '$work/metrics' | grep -q ':1844674407'"
is "a drive comes again" 204 PUT /drives/busy "$(drive busy second)"
in_guest "and is in use" "until_there /dev/vdb; exec 4</dev/vdb"
is "it is taken away" 204 DELETE /drives/busy
is "the machine still answers" 204 PATCH /vm '{"state": "Paused"}'
is "and again" 204 PATCH /vm '{"state": "Resumed"}'
in_guest "and so does its guest" "true"
is "one more drive comes" 204 PUT /drives/after "$(drive after third)"
says "the guest finds that, and that the other went" \
    'until_true eval "[ \$(devices) = 8 ] && ls /sys/block | grep -q vd[c-z]";
     for d in /sys/block/vd[b-z]; do d=/dev/${d##*/};
     [ "$(wc -c <$d)" = 0 ] || sha256sum <$d; done' "$(sha256sum <"$work/third")"
echo "busybox reboot -f" >&3
exec 3>&-
wait "$program"
status=$?
program=
check "the guest reboots: the program ends ($status)" [ "$status" = 0 ]
finish
