#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The metadata service from inside a guest: a machine from a configuration
# file with mmds-config and --metadata, on a tap in a network namespace of
# the test's own. Needs root and /dev/net/tun.
. "$(dirname "$0")/lib.sh"
own_netns

need_kernel
need_tool cpio
[ -n "$busybox" ] || skip "no busybox"
modules=$cache/kernel/default/modules/kernel
order="virtio/virtio_ring virtio/virtio virtio/virtio_mmio
    ../net/core/failover net/net_failover net/virtio_net"
ip tuntap add squib0 mode tap
ip link set squib0 up

root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/ko"
cp "$busybox" "$root/bin/busybox"
for m in $order; do
    [ -f "$modules/drivers/$m.ko" ] || skip "no module $m beside the kernel"
    cp "$modules/drivers/$m.ko" "$root/ko"
    echo "${m##*/}" >>"$root/ko/order"
done
cat >"$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
exec </dev/null >/dev/ttyS0 2>&1
/bin/busybox stty -onlcr </dev/ttyS0
/bin/busybox --install -s /bin
export PATH=/bin
for m in $(cat /ko/order); do insmod /ko/$m.ko; done
ip link set lo up
ip link set eth0 up
ip addr add 172.31.9.2/24 dev eth0
ip route add 169.254.169.254 dev eth0
url=http://169.254.169.254
echo "mac $(cat /sys/class/net/eth0/address) mtu $(cat /sys/class/net/eth0/mtu)"
echo "without: $(wget -q -O - $url/latest/meta-data/ami-id 2>&1 |
    grep -o 401)"
token=$(printf 'PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 60\r\n\r\n' |
    nc 169.254.169.254 80 | tail -n 1)
echo "token of ${#token}"
get() {
    wget -q -O - --header "X-metadata-token: $token" "$@"
    echo
}
get $url/latest/meta-data
get $url/latest/meta-data/ami-id
get --header "Accept: application/json" $url/latest
get $url/big | sha256sum
i=0
while [ $i -lt 40 ]; do get $url/latest/meta-data/ami-id; i=$((i + 1)); done |
    sort | uniq -c
reboot -f
END
chmod +x "$root/init"
ln -s busybox "$root/bin/sh"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

big=$(head -c 30000 /dev/urandom | od -An -tx1 | tr -d ' \n' | head -c 40000)
cat >"$work/metadata.json" <<END
{"latest": {"meta-data": {"ami-id": "ami-12345678", "n": 7}}, "big": "$big"}
END
cat >"$work/vm.json" <<END
{"boot-source": {"kernel_image_path": "$kernel",
   "initrd_path": "$work/initrd",
   "boot_args": "console=ttyS0 quiet panic=-1 reboot=k cryptomgr.notests"},
 "machine-config": {"vcpu_count": 1, "mem_size_mib": 256}, "drives": [],
 "mmds-config": {"network_interfaces": ["eth0"], "version": "V2"},
 "network-interfaces": [{"iface_id": "eth0", "host_dev_name": "squib0",
   "guest_mac": "06:00:AC:1F:09:02", "mtu": 1400}]}
END
limited 90 "$SQUIB" --no-api --config-file "$work/vm.json" \
    --metadata "$work/metadata.json" --level Error \
    --backend "$backend" </dev/null
# Which backend runs is told to everybody.
sed -i '/^squib: .*, as asked/d' "$err"
sed -i 's/\r$//; /^\[/d' "$out"
sum=$(printf '%s\n' "$big" | sha256sum)
check "a guest reads its metadata" 0 "mac 06:00:ac:1f:09:02 mtu 1400
without: 401
token of 48
ami-id
n
ami-12345678
{\"meta-data\":{\"ami-id\":\"ami-12345678\",\"n\":7}}
$sum
     40 ami-12345678
" ""
finish
