#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Metrics against what the guest did: entropy, persistent memory, the serial
# port and its limit, exits; and that lines tell differences. Drives,
# networks, vsock and memory are compared by their own tests.
. "${0%/*}/lib.sh"
need_api
make_initrd
head -c 4194304 /dev/urandom >"$work/pmem.img"

equal() { # what, wanted, got
    if [ "$2" = "$3" ]; then pass "$1: $3"; else fail "$1" "$3, not $2"; fi
}
at_least() { # what, wanted, got
    if [ "${3:-0}" -ge "$2" ]; then pass "$1: $3"; else
        fail "$1" "$3, not $2 or more"
    fi
}

: >"$work/log"
start_program --log-path "$work/log" # which else goes to the console
want 204 PUT /entropy '{}'
want 204 PUT /pmem/p "{\"id\": \"p\", \"path_on_host\": \"$work/pmem.img\"}"
want 204 PUT /balloon '{"amount_mib": 0, "deflate_on_oom": false}'
boot 256

guest_ok "the guest asks for 64 KiB of entropy" \
    "dd if=/dev/hwrng of=/tmp/e bs=4096 count=16 iflag=fullblock 2>/dev/null"
guest_ok "and flushes persistent memory 5 times" "for i in 1 2 3 4 5; do
    dd if=/dev/urandom of=/dev/pmem0 bs=4096 count=1 seek=\$i conv=fsync
    2>/dev/null || exit 1; done; md5sum </dev/pmem0"
what="the file has what the guest wrote"
if [ "$(md5sum <"$work/pmem.img")" = "$(sed '/^$/d' "$out")" ]; then
    pass "$what"
else
    fail "$what" "it differs"
fi
want 204 PATCH /vm '{"state": "Paused"}'
flush_metrics
equal "bytes on the serial port" "$(wc -c <"$work/console")" \
    "$(metric .uart.write_count)"
at_least "bytes of entropy" 65536 "$(metric .entropy.entropy_bytes)"
at_least "requests for it" 16 "$(metric .entropy.entropy_event_count)"
at_least "flushes" 5 "$(metric .pmem_p.queue_event_count)"
at_least "exits for ports" "$(metric .uart.write_count)" \
    "$(metric .vcpu.exit_io_out)"
at_least "exits for devices" "$(metric .pmem_p.queue_event_count)" \
    "$(metric .vcpu.exit_mmio_write)"
at_least "interrupts" 21 "$(metric .interrupts.triggers)"
at_least "keyboard controller" 1 "$(metric .i8042.read_count)"
at_least "the pause's time" 1 "$(jq -s 'last | .latencies_us.pause_vm' \
    "$metrics")"
for m in exit_io_in_agg exit_io_out_agg exit_mmio_read_agg \
    exit_mmio_write_agg; do
    what="$m adds up"
    if jq -se "last | .vcpu.$m | .min_us <= .max_us and .max_us >= 0" \
        "$metrics" >"$out"; then
        pass "$what"
    else
        fail "$what" "$(jq -c ".vcpu.$m" "$metrics" | tail -n 1)"
    fi
done

# Nothing happens while it is paused: the next line's differences are 0, and
# values stay.
flush_metrics
what="a line tells what is new since the one before"
if jq -se 'last | .uart.write_count == 0 and .entropy.entropy_bytes == 0 and
    .vcpu.exit_io_out == 0 and .interrupts.triggers == 0 and
    .put_api_requests.actions_count == 1 and .latencies_us.pause_vm > 0' \
    "$metrics" >"$out"; then
    pass "$what"
else
    fail "$what" "$(tail -n 1 "$metrics" | cut -c 1-600)"
fi
what="every line has the same metrics, once the devices are there"
if [ "$(jq -c '[paths(scalars) | map(tostring) | join(".")] | sort' \
    "$metrics" | sort -u | wc -l)" = 1 ]; then
    pass "$what"
else
    fail "$what" "they differ"
fi
want 204 PATCH /vm '{"state": "Resumed"}'
end_program "the monitor ends"
rm -f "$metrics"

# --- the limit of the serial port --------------------------------------------
start_program
want 204 PUT /serial "{\"serial_out_path\": \"$work/serial\",
    \"rate_limiter\": {\"size\": 2000, \"one_time_burst\": 500,
    \"refill_time\": 3600000000}}"
: >"$work/serial"
want 204 PUT /boot-source "{\"kernel_image_path\": \"$kernel\",
    \"initrd_path\": \"$initrd\", \"boot_args\":
    \"console=ttyS0 reboot=k panic=1 pci=off\"}"
want 204 PUT /metrics "{\"metrics_path\": \"$metrics\"}"
want 204 PUT /actions '{"action_type": "InstanceStart"}'
i=0
until flush_metrics
    got=$(metric .uart.rate_limiter_dropped_bytes)
    [ "$got" -gt 5000 ]; do
    i=$((i + 1))
    [ $i -lt $((120 * slow * patience)) ] || break
    sleep 0.5
done
want 204 PATCH /vm '{"state": "Paused"}'
flush_metrics
sent=$(metric .uart.write_count)
dropped=$(metric .uart.rate_limiter_dropped_bytes)
equal "bytes of $sent that the limit lets through" 2500 \
    "$(wc -c <"$work/serial")"
equal "and that it does not" $((sent - 2500)) "$dropped"
end_program "the monitor ends"
finish
