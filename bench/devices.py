# SPDX-License-Identifier: Apache-2.0
"""Disk, network and vsock of guests, and what the API costs."""
import ctypes
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from machines import Failed, Machine, memory_kib, own_kib

MIB = 1 << 20
DISK_MIB = 256
MODULES = ('virtio_mmio', 'virtio_blk', 'virtio_net',
           'vmw_vsock_virtio_transport')
MAC = '52:54:00:12:34:56'
VSOCK_PORT = 5201
# what, unit, command, bytes of one of the unit
DISK_ROWS = (
    ('disk random read 4 KiB', 'IOPS', 'read rand 4096 1 4000', 4096),
    ('disk random read 4 KiB, 8 threads', 'IOPS', 'read rand 4096 8 1000',
     4096),
    ('disk sequential read 1 MiB', 'GiB/s',
     'read seq 1048576 1 %d' % DISK_MIB, 1 << 30),
    ('disk sequential write 1 MiB, fsync', 'GiB/s',
     'write seq 1048576 1 %d' % DISK_MIB, 1 << 30),
)


class Server:
    """Takes connections one after the other and moves `size` bytes each."""

    def __init__(self, address, size):
        family = socket.AF_UNIX if isinstance(address, str) \
            else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.bind(address)
        self.socket.listen()
        self.size = size
        self.way = 'recv'
        threading.Thread(target=self.serve, daemon=True).start()

    def port(self):
        return self.socket.getsockname()[1]

    def serve(self):
        buffer = bytearray(MIB)
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                try:
                    if self.way == 'recv':
                        for _ in range(self.size // MIB):
                            peer.sendall(buffer)
                        peer.recv(1)
                        continue
                    left = self.size
                    while left > 0:
                        n = peer.recv_into(buffer)
                        if n == 0:
                            break
                        left -= n
                    peer.sendall(b'.')
                except OSError:
                    continue


def make_initrd(bench):
    """The guests' initramfs with the modules of the devices in order."""
    kernel = next(iter(bench.kernels))
    folder = os.path.join(os.path.dirname(bench.kernels[kernel]), 'modules')
    wanted = []
    if os.path.exists(os.path.join(folder, 'modules.dep')):
        with open(os.path.join(folder, 'modules.dep')) as f:
            dep = dict(line.rstrip('\n').split(':', 1) for line in f)
        for name in MODULES:
            for path, needs in dep.items():
                if os.path.basename(path).split('.')[0] == name:
                    for m in (*reversed(needs.split()), path):
                        if m not in wanted:
                            wanted.append(m)
    root = os.path.join(bench.work, 'devices.root')
    os.makedirs(os.path.join(root, 'ko'))
    shutil.copy(bench.program, os.path.join(root, 'init'))
    shutil.copy(bench.program, os.path.join(root, 'squib-bench'))
    names = ['init', 'squib-bench', 'ko']
    for i, m in enumerate(wanted):
        shutil.copy(os.path.join(folder, m), os.path.join(root, 'ko', str(i)))
        names.append('ko/%d' % i)
    initrd = os.path.join(bench.work, 'devices.initrd')
    with open(initrd, 'wb') as f:
        subprocess.run(['cpio', '-o', '-H', 'newc', '--quiet'], cwd=root,
                       input='\n'.join(names).encode(), stdout=f, check=True)
    return initrd


class Rows:
    def __init__(self, bench):
        self.bench = bench
        self.rows = {}

    def add(self, what, unit, column, value):
        row = self.rows.setdefault((what, column), {
            'what': what, 'unit': unit, 'column': column, 'values': [],
            'why': ''})
        row['values'].append(value)

    def lacks(self, what, unit, column, why):
        self.rows[what, column] = {'what': what, 'unit': unit,
                                   'column': column, 'values': [],
                                   'why': str(why)}

    def measure(self, what, unit, machines, command, per):
        """Interleaved rounds of one command; the best is the value."""
        for i in range(self.bench.args.rounds):
            self.bench.say('round %d: %s' % (i + 1, what))
            for column, m in machines.items():
                if self.rows.get((what, column), {}).get('why'):
                    continue
                try:
                    moved, ns, _ = m.ask(command, '@done', 120)[0]
                    self.add(what, unit, column,
                             int(moved) / per / (int(ns) / 1e9))
                except Failed as e:
                    self.lacks(what, unit, column, e)

    def done(self):
        for row in self.rows.values():
            row['value'] = max(row['values'], default=None)
        return list(self.rows.values())


def stop(machines):
    for m in machines.values():
        m.stop()


def disk_and_vsock(bench, rows, initrd):
    uds = os.path.join(bench.work, 'v.sock')
    machines = {}
    for c in bench.columns():
        # One each, as squib locks its disks.
        disk = os.path.join(bench.work, 'disk-' + c)
        with open(disk, 'wb') as f:
            for _ in range(DISK_MIB):
                f.write(os.urandom(MIB))
        machines[c] = Machine(bench.guest(
            c, initrd=initrd, name='devices-' + c,
            squib_config={
                'drives': [{'drive_id': 'd', 'path_on_host': disk,
                            'is_root_device': False, 'is_read_only': False,
                            'cache_type': 'Writeback'}],
                'vsock': {'guest_cid': 3, 'uds_path': uds + c}},
            qemu_devices=('-drive', 'file=%s,format=raw,if=none,id=d' % disk,
                          '-device', 'virtio-blk-device,drive=d')))
    for what, unit, command, per in DISK_ROWS:
        rows.measure(what, unit, machines, 'disk /dev/vda ' + command, per)
    size = 64 * MIB
    for c, m in machines.items():
        server = None if c == 'tcg' else Server(
            '%s%s_%d' % (uds, c, VSOCK_PORT), size)
        for way, what in (('send', 'vsock guest to host'),
                          ('recv', 'vsock host to guest')):
            if c == 'tcg':
                rows.lacks(what, 'GiB/s', c, 'QEMU leaves vsock to the '
                           'vhost-vsock module of the host\'s kernel')
                continue
            server.way = way
            rows.measure(what, 'GiB/s', {c: m},
                         'vsock %d %s %d' % (VSOCK_PORT, way, size), 1 << 30)
    stop(machines)
    for c in machines:
        os.unlink(os.path.join(bench.work, 'disk-' + c))


def tcp(rows, name, machines, host, server):
    for way, what in (('send', 'guest to host'), ('recv', 'host to guest')):
        server.way = way
        rows.measure('%s network, TCP %s' % (name, what), 'Gbit/s', machines,
                     'tcp %s %d %s %d' % (host, server.port(), way,
                                          server.size), 1e9 / 8)


def user_network(bench, rows, initrd):
    machines = {}
    for c in bench.columns():
        if c == 'tcg':
            machines[c] = Machine(bench.guest(
                c, initrd=initrd, qemu_devices=(
                    '-netdev', 'user,id=n', '-device',
                    'virtio-net-device,netdev=n')))
            continue
        kernel = next(iter(bench.kernels.values()))
        machines[c] = Machine([
            bench.squib, 'run', '-q', '-m', '512M', '--backend',
            bench.backends[c], '-k', kernel, '--initrd', initrd, '--net',
            'user', '--', '/squib-bench', 'serve'])
    if 'tcg' in machines:
        try:
            machines['tcg'].ask('up 10.0.2.15', '@done')
        except Failed as e:
            bench.note('no user network on QEMU: %s' % e)
            del machines['tcg']
    tcp(rows, 'user', machines, '10.0.2.2',
        Server(('127.0.0.1', 0), 64 * MIB))
    stop(machines)


def tap_network(bench, rows, initrd):
    """In a network namespace of its own, so nothing of the host changes."""
    machines = {}
    for i, c in enumerate(bench.columns()):
        tap = 'squib%d' % i
        subprocess.run(['ip', 'tuntap', 'add', tap, 'mode', 'tap',
                        *(['vnet_hdr'] if c == 'tcg' else [])], check=True)
        subprocess.run(['ip', 'addr', 'add', '172.16.%d.1/24' % i, 'dev',
                        tap], check=True)
        subprocess.run(['ip', 'link', 'set', tap, 'up'], check=True)
        machines[c] = Machine(bench.guest(
            c, initrd=initrd, name='tap-' + c,
            squib_config={'network-interfaces': [
                {'iface_id': 'eth0', 'host_dev_name': tap,
                 'guest_mac': MAC}]},
            qemu_devices=(
                '-netdev', 'tap,id=n,ifname=%s,script=no,downscript=no' % tap,
                '-device', 'virtio-net-device,netdev=n,mac=' + MAC)))
        try:
            machines[c].ask('up 172.16.%d.2' % i, '@done')
            tcp(rows, 'tap', {c: machines[c]}, '172.16.%d.1' % i,
                Server(('172.16.%d.1' % i, 0), 256 * MIB))
        except Failed as e:
            rows.lacks('tap network, TCP', 'Gbit/s', c, e)
    stop(machines)


def in_own_network(bench, rows, initrd):
    if os.geteuid() != 0 or not os.path.exists('/dev/net/tun') or \
            not shutil.which('ip'):
        bench.note('no tap rows: they need root, /dev/net/tun and ip')
        return
    result = tempfile.TemporaryFile('w+')
    child = os.fork()
    if child == 0:
        status = 1
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
                raise OSError(ctypes.get_errno(), 'unshare')
            rows.rows = {}
            tap_network(bench, rows, initrd)
            json.dump(rows.done(), result)
            result.flush()
            status = 0
        except (OSError, subprocess.CalledProcessError) as e:
            print('tap: %s' % e, flush=True)
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        bench.note('no tap rows: taps cannot be made here')
        return
    result.seek(0)
    for row in json.load(result):
        rows.rows[row['what'], row['column']] = row


def io(bench):
    rows = Rows(bench)
    initrd = make_initrd(bench)
    disk_and_vsock(bench, rows, initrd)
    user_network(bench, rows, initrd)
    in_own_network(bench, rows, initrd)
    bench.result['io'] = rows.done()


# --- API --------------------------------------------------------------------

class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)

    def request(self, method, path, body=None):
        body = json.dumps(body).encode() if body is not None else b''
        head = '%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d' \
            '\r\n\r\n' % (method, path, len(body))
        self.socket.sendall(head.encode() + body)
        answer = b''
        while b'\r\n\r\n' not in answer:
            part = self.socket.recv(65536)
            if not part:
                raise Failed('the API closed the connection')
            answer += part
        head, rest = answer.split(b'\r\n\r\n', 1)
        length = 0
        for line in head.lower().split(b'\r\n'):
            if line.startswith(b'content-length:'):
                length = int(line.split(b':')[1])
        while len(rest) < length:
            rest += self.socket.recv(65536)
        status = int(head.split()[1])
        if status >= 300:
            raise Failed('%s %s: %d %s' % (method, path, status,
                                           rest.decode(errors='replace')))


def api_once(bench, number):
    """ready CPU ms, p50 us idle, p50 us busy, MiB waiting, MiB of code and of
    all else running."""
    path = os.path.join(bench.work, 'api%d.sock' % number)
    process = subprocess.Popen(
        [bench.squib, 'serve', '--api-sock', path, '--backend',
         bench.backends['translator']],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while True:
            try:
                client = Client(path)
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise Failed('the API socket does not answer') from None
                time.sleep(0.0005)
        client.request('GET', '/')
        ready = time.clock_gettime_ns(~process.pid << 3 | 2) / 1e6

        def p50():
            times = []
            for _ in range(1000):
                start = time.perf_counter_ns()
                client.request('GET', '/')
                times.append(time.perf_counter_ns() - start)
            return statistics.median(times) / 1e3
        idle = p50()
        waiting = own_kib(process.pid) / 1024
        client.request('PUT', '/boot-source', {
            'kernel_image_path': next(iter(bench.kernels.values())),
            'initrd_path': bench.initrd,
            'boot_args': 'console=ttyS0 quiet panic=-1 reboot=k'})
        client.request('PUT', '/machine-config',
                       {'vcpu_count': 1, 'mem_size_mib': 256})
        client.request('PUT', '/actions', {'action_type': 'InstanceStart'})
        # While the kernel boots the vCPU never rests.
        busy = p50()
        time.sleep(3)
        kib = memory_kib(process.pid)
        return (ready, idle, busy, waiting, kib['code'] / 1024,
                kib['rest'] / 1024)
    finally:
        process.kill()
        process.wait()


def api(bench):
    rows = (('API socket ready, CPU', 'ms'),
            ('API round trip, p50', 'us'),
            ('API round trip while a guest boots, p50', 'us'),
            ('memory before the guest starts', 'MiB'),
            ('code cache with a guest', 'MiB'),
            ('memory with a guest, all else', 'MiB'))
    figures = []
    try:
        for i in range(bench.args.rounds):
            bench.say('API, round %d' % (i + 1))
            figures.append(api_once(bench, i))
    except (Failed, OSError) as e:
        bench.note('API: %s' % e)
    result = [{'what': what, 'unit': unit, 'column': 'translator',
               'values': [f[n] for f in figures],
               # Of times the best round counts, of memory the worst.
               'value': (max if unit == 'MiB' else min)(
                   (f[n] for f in figures), default=None),
               'why': '' if figures else 'see the notes'}
              for n, (what, unit) in enumerate(rows)]
    stripped = os.path.join(bench.work, 'stripped')
    if shutil.which('strip'):
        subprocess.run(['strip', '-o', stripped, bench.squib], check=True)
        result.append({'what': 'squib, the program, stripped', 'unit': 'MiB',
                       'column': 'translator', 'values': [], 'why': '',
                       'value': os.path.getsize(stripped) / MIB})
    bench.result['api'] = result
