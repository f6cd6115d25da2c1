#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# --enable-pci: every device works over PCI, and drives, pmem and network
# interfaces come and go while the guest runs.
. "${0%/*}/lib.sh"
need_api

# What the guest's shell calls: a while for what comes by itself, and how to
# let go of a device.
mkdir -p "$work/initrd.root/bin"
cat >"$work/initrd.root/bin/hot" <<'END'
#!/bin/busybox sh
wait_for() { # command
    i=0
    until "$@"; do
        i=$((i + 1))
        [ $i -lt 1200 ] || exit 1
        usleep 50000
    done
}
devices() { # number of PCI devices
    ls /sys/bus/pci/devices | wc -l
}
usable() { # path: a disk's node may be there before it can be opened
    case $1 in
    /dev/*) head -c 1 "$1" >/dev/null 2>&1 ;;
    *) [ -e "$1" ] ;;
    esac
}
case $1 in
there) wait_for usable "$2" ;;
gone) wait_for [ ! -e "$2" ] ;;
sum) wait_for usable "$2" && sha256sum <"$2" ;;
copy) dd if="$2" of="$3" bs=64k conv=fsync 2>/dev/null ;;
devices) devices ;;
not_pci) # virtio devices that are somewhere else or have no driver
    for d in /sys/bus/virtio/devices/*; do
        case $(readlink -f $d) in */pci0000:00/*) ;; *) echo $d ;; esac
        [ -e $d/driver ] || echo "no driver: $d"
    done ;;
inflated) # interrupts of the balloon's queue on both CPUs
    inflated() {
        [ "$(awk '/-inflate/ { print $2 + $3 }' /proc/interrupts)" -gt 0 ]
    }
    wait_for inflated ;;
let_go) # path in sysfs: of the PCI function it is on
    p=$(readlink -f "$2")
    p=${p%/virtio*}
    echo 1 >/sys/bus/pci/devices/${p##*/}/remove
    [ ! -e "$2" ] ;;
esac
END
chmod 755 "$work/initrd.root/bin/hot"
make_initrd

says() { # what, command, its output
    guest "$2"
    if [ "$(cat "$out")" = "$3" ]; then pass "$1"; else
        fail "$1" "not '$3'"
    fi
}
refused() { # what, words, then the arguments of api
    what=$1 want=$2
    shift 2
    got=$(api "$@")
    case $got in
    *"$want"*400) pass "$what" ;;
    *) fail "$what" "$got" ;;
    esac
}
check() { # what, then a command
    what=$1
    shift
    if "$@"; then pass "$what"; else fail "$what" "$*"; fi
}
body() { # id, file
    echo "{\"drive_id\": \"$1\", \"path_on_host\": \"$work/$2\",
           \"is_root_device\": false, \"is_read_only\": false}"
}
pmem() { # id, file
    echo "{\"id\": \"$1\", \"path_on_host\": \"$work/$2\"}"
}
sum() { # file
    sha256sum <"$work/$1"
}

# --- the machine -------------------------------------------------------------
for file in first second third fourth near far; do
    head -c 4194304 /dev/urandom >"$work/$file"
done
vcpus=$(cpus 2)
start_program --enable-pci
drive first "$work/first"
want 204 PUT /pmem/near "$(pmem near near)"
want 204 PUT /entropy '{}'
want 204 PUT /balloon '{"amount_mib": 8, "deflate_on_oom": false}'
want 204 PUT /vsock "{\"guest_cid\": 3, \"uds_path\": \"$work/vsock\"}"
want 204 PUT /hotplug/memory '{"total_size_mib": 256}'
refused "a device cannot go before there is a guest" "before starting" \
    DELETE /drives/first
boot 256

# --- every device over PCI ---------------------------------------------------
says "host bridge and six devices" "hot devices" 7
says "none is on virtio-mmio, each has its driver" "hot not_pci" ""
guest_ok "each has vectors of its own" \
    '[ $(grep -c "PCI-MSI.*virtio" /proc/interrupts) -ge 8 ]'
says "the drive can be read" "hot sum /dev/vda" "$(sum first)"
guest_ok "the drive can be written" \
    "dd if=/dev/vda of=/dev/vda bs=64k seek=32 count=32 conv=fsync"
says "the pmem is there" "hot sum /dev/pmem0" "$(sum near)"
guest_ok "entropy" "dd if=/dev/hwrng of=/dev/null bs=64 count=4"
guest_ok "its balloon is inflated" "hot inflated"
is "more memory" 204 PATCH /hotplug/memory '{"requested_size_mib": 128}'
taken() {
    api GET /hotplug/memory | grep -q '"plugged_size_mib":128'
}
check "the guest takes it" eventually 30 taken

# --- drives ------------------------------------------------------------------
is "a drive comes" 204 PUT /drives/hot "$(body hot second)"
guest_ok "the guest finds it by itself" "hot there /dev/vdb"
says "what it has" "hot sum /dev/vdb" "$(sum second)"
guest_ok "it is written" "hot copy /dev/vda /dev/vdb"
check "and the file has it" cmp -s "$work/first" "$work/second"
refused "its ID is taken" "Device ID in use" \
    PUT /drives/hot "$(body hot third)"
refused "no root drive comes later" "A root block device already exists" \
    PUT /drives/boss "{\"drive_id\": \"boss\", \"is_root_device\": true,
        \"path_on_host\": \"$work/third\"}"
refused "nor one without a file" "No such file" \
    PUT /drives/lost "$(body lost nowhere)"
refused "what is not there cannot go" "Device not found" DELETE /drives/lost
api GET /vm/config >"$work/config"
check "the configuration shows it" grep -q '"drive_id":"hot"' "$work/config"
check "and not those that were refused" \
    sh -c "! grep -q 'lost\|boss' '$work/config'"
is "a limiter for it" 204 PATCH /drives/hot \
    '{"drive_id": "hot", "rate_limiter":
      {"ops": {"size": 1000, "refill_time": 100}}}'
guest_ok "the guest lets go of it" "hot let_go /sys/block/vdb"
is "it goes" 204 DELETE /drives/hot
refused "once" "Device not found" DELETE /drives/hot
says "the bus is as before" "echo 1 >/sys/bus/pci/rescan; hot devices" 7
is "another one comes" 204 PUT /drives/hot2 "$(body hot2 third)"
says "in its place" "hot sum /dev/vdb" "$(sum third)"
is "paused" 204 PATCH /vm '{"state": "Paused"}'
is "while paused one more" 204 PUT /drives/hot3 "$(body hot3 fourth)"
is "resumed" 204 PATCH /vm '{"state": "Resumed"}'
guest_ok "the guest finds that too" "hot there /dev/vdc"
guest_ok "it lets go of both" \
    "hot let_go /sys/block/vdb && hot let_go /sys/block/vdc"
is "the first goes" 204 DELETE /drives/hot2
is "the other goes" 204 DELETE /drives/hot3
round=0
while [ $round -lt 10 ]; do
    api PUT /drives/turn "$(body turn second)"
    guest "hot there /dev/vdb && hot let_go /sys/block/vdb"
    [ "$status" = 0 ] || echo "round $round: $(cat "$out")"
    api DELETE /drives/turn
    round=$((round + 1))
done >"$work/rounds"
says "ten times in and out" "hot devices" 7
sed 's/204//g' "$work/rounds" >"$work/trouble"
check "without an error" [ ! -s "$work/trouble" ]

# --- pmem --------------------------------------------------------------------
is "pmem comes" 204 PUT /pmem/hot "$(pmem hot far)"
says "the guest finds it by itself" "hot sum /dev/pmem1" "$(sum far)"
guest_ok "it is written" "hot copy /dev/vda /dev/pmem1"
check "and the file has it" cmp -s "$work/first" "$work/far"
refused "its ID is taken" "Device ID in use" PUT /pmem/hot "$(pmem hot far)"
refused "no root pmem comes later" "Attempt to add pmem as a root device" \
    PUT /pmem/boss "{\"id\": \"boss\", \"path_on_host\": \"$work/far\",
        \"root_device\": true}"
guest_ok "the guest lets go of it" "hot let_go /sys/block/pmem1"
is "it goes" 204 DELETE /pmem/hot
refused "once" "Device not found" DELETE /pmem/hot
says "the other one still works" "hot sum /dev/pmem0" "$(sum near)"

# --- network -----------------------------------------------------------------
tap=sqhot$$
if ip tuntap add "$tap" mode tap 2>/dev/null; then
    trap 'ip link del "$tap" 2>/dev/null; stop_program; cleanup' EXIT
    is "an interface comes" 204 PUT /network-interfaces/hot \
        "{\"iface_id\": \"hot\", \"host_dev_name\": \"$tap\",
          \"guest_mac\": \"06:00:00:00:00:09\"}"
    says "the guest finds it by itself" \
        "hot there /sys/class/net/eth0 && cat /sys/class/net/eth0/address" \
        06:00:00:00:00:09
    refused "its MAC is taken" "The MAC address is already in use" \
        PUT /network-interfaces/two "{\"iface_id\": \"two\",
            \"host_dev_name\": \"$tap\",
            \"guest_mac\": \"06:00:00:00:00:09\"}"
    guest_ok "the guest lets go of it" \
        "hot let_go /sys/class/net/eth0"
    is "it goes" 204 DELETE /network-interfaces/hot
    refused "once" "Device not found" DELETE /network-interfaces/hot
else
    echo "# network interfaces were not tested: no tap can be made here"
fi

# --- metrics, and a guest that does not let go -------------------------------
is "metrics" 204 PUT /actions '{"action_type": "FlushMetrics"}'
check "they know the first drive" \
    sh -c "tail -n 1 '$metrics' | grep -q '\"block_first\":'"
check "and no counter ran backwards" \
    sh -c "! tail -n 1 '$metrics' | grep -q ':1844674407'"
# A device that goes takes nothing that it has counted along, and those behind
# it keep theirs. The guest's own count: bytes of reads that ended.
bytes_read() { # disks: the sum
    guest "cat $(printf '/sys/block/%s/stat ' "$@") |
        awk '{ n += \$3 } END { print n * 512 }'"
    sed '/^$/d' "$out"
}
flush_metrics
before=$(metric .block.read_bytes)
begin=$(bytes_read vda)
is "a drive comes to be counted" 204 PUT /drives/goes "$(body goes second)"
is "and another" 204 PUT /drives/stays "$(body stays third)"
guest_ok "both are read" "hot sum /dev/vdb && hot sum /dev/vdc &&
    dd if=/dev/vdc of=/dev/null bs=64k count=10 iflag=direct"
flush_metrics
guest_ok "and again" "dd if=/dev/vdb of=/dev/null bs=64k count=7 iflag=direct &&
    dd if=/dev/vdc of=/dev/null bs=64k count=9 iflag=direct"
all=$(bytes_read vda vdb vdc)
stays=$(bytes_read vdc)
guest_ok "the guest lets go of the first" "hot let_go /sys/block/vdb"
is "which goes" 204 DELETE /drives/goes
guest_ok "the other is read on" \
    "dd if=/dev/vdc of=/dev/null bs=64k count=3 iflag=direct"
flush_metrics
check "all that was read is counted" \
    [ $(($(metric .block.read_bytes) - before)) = \
    $((all - begin + 3 * 65536)) ]
check "each drive has its own" \
    [ "$(metric .block_stays.read_bytes)" = $((stays + 3 * 65536)) ]
guest_ok "it lets go of the other" "hot let_go /sys/block/vdc"
is "which goes, too" 204 DELETE /drives/stays
is "a drive comes again" 204 PUT /drives/busy "$(body busy second)"
guest_ok "and is in use" \
    "hot there /dev/vdb; sleep 1000 </dev/vdb & sleep 0.1"
is "it is taken away" 204 DELETE /drives/busy
is "the machine still answers" 204 PATCH /vm '{"state": "Paused"}'
is "and again" 204 PATCH /vm '{"state": "Resumed"}'
guest_ok "and so does its guest" "true"
is "one more drive comes" 204 PUT /drives/after "$(body after third)"
guest_ok "the guest finds that the other went" "hot gone /sys/block/vdb"
says "and what came" "hot sum /dev/vdc" "$(sum third)"
says "there are as many as there should be" "hot devices" 8
guest_begin "reboot -f"
exec 3>&-
wait "$program"
status=$?
program=
check "the guest reboots: the program ends ($status)" [ "$status" = 0 ]
finish
