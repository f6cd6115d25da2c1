# SPDX-License-Identifier: Apache-2.0
"""What the workloads run on: this host, and guests of squib and QEMU.

Each is a process that obeys squib-bench's commands on its stdin (see
workloads/main.c): natively squib-bench itself, else a monitor whose guest's
first program it is, with the serial console in between.
"""
import json
import os
import select
import subprocess
import time


class Failed(Exception):
    """The machine cannot do this; the text says why."""


def memory_kib(pid):
    """Memory of a process as {'guest', 'code', 'rest'}.

    A guest's memory is in a memory file of a known name. The code cache is
    squib's memory file for translated code, and the tables for decoded code
    (anonymous memory that children do not get: flag dc, see src/os/lazy.h).
    Pages mapped twice, as translated code is, count once."""
    kib = {'guest': 0, 'code': 0, 'rest': 0}
    what, anonymous, pss = 'rest', False, 0
    try:
        with open('/proc/%d/smaps' % pid) as f:
            for line in f:
                if line[0] in '0123456789abcdef':
                    what = 'rest'
                    if 'memfd:guest-memory' in line or \
                            'memfd:memory-backend-memfd' in line:
                        what = 'guest'
                    elif 'memfd:squib-code' in line:
                        what = 'code'
                    fields = line.split()
                    anonymous = len(fields) == 5 or fields[5][:6] == '[anon:'
                elif line.startswith('Pss:'):
                    pss = int(line.split()[1])
                elif line.startswith('VmFlags:'):
                    if anonymous and 'dc' in line.split():
                        what = 'code'
                    kib[what] += pss
    except OSError:
        pass
    return kib


def own_kib(pid):
    """Memory of a monitor that is not its guest's."""
    kib = memory_kib(pid)
    return kib['code'] + kib['rest']


class Machine:
    running = []  # all of them, to be killed when the benchmark ends early

    def __init__(self, argv, boot_s=120, pinned=False):
        self.argv = argv
        self.pinned = pinned
        self.boot_s = boot_s
        self.process = None
        self.own_kib = 0

    def start(self):
        self.process = subprocess.Popen(
            self.argv, bufsize=0, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=(lambda: os.sched_setaffinity(
                0, {min(os.sched_getaffinity(0))})) if self.pinned else None)
        Machine.running.append(self)
        self.pending = b''
        self.log = []
        try:
            self.answer('@hello', self.boot_s)
        except Failed:
            self.kill()
            raise

    def line(self, deadline):
        while b'\n' not in self.pending:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select(
                [self.process.stdout], [], [], left)[0]
            if not ready:
                raise Failed('no answer in time')
            data = self.process.stdout.read(65536)
            if not data:
                raise Failed('the machine ended: ' + ' / '.join(
                    (self.log + [self.pending.decode(errors='replace')])[-3:]))
            self.pending += data
        line, self.pending = self.pending.split(b'\n', 1)
        line = line.decode(errors='replace').strip()
        self.log = (self.log + [line])[-20:]
        return line

    def answer(self, word, timeout_s):
        """The rest of the line that begins with `word`, and lines before."""
        deadline = time.monotonic() + timeout_s
        before = []
        while True:
            line = self.line(deadline)
            if line.startswith(word):
                return line[len(word):].split(), before
            if line.startswith('@fail'):
                raise Failed(line[6:])
            before.append(line)

    def ask(self, command, word, timeout_s=300):
        try:
            if self.process is None:
                self.start()
            self.process.stdin.write(command.encode() + b'\n')
            return self.answer(word, timeout_s)
        except (OSError, Failed) as e:
            # A machine that is out of step is of no more use.
            if '@fail' not in ''.join(self.log[-1:]):
                self.kill()
            raise Failed(str(e)) from None

    def cpu_ns(self):
        """CPU time of all the process's threads."""
        return time.clock_gettime_ns(~self.process.pid << 3 | 2)

    def look_at_memory(self):
        """Keeps the peak of what is not the guest's memory."""
        self.own_kib = max(self.own_kib, own_kib(self.process.pid))

    def rows(self):
        return [dict(zip(('name', 'group', 'op', 'ops', 'units', 'variant'),
                         line[5:].split('|')))
                for line in self.ask('list', '@end')[1]
                if line.startswith('@row ')]

    def measure(self, name, units):
        """(checksum, wall ns, CPU ns) of `units` units."""
        self.ask('use ' + name, '@ready')
        before = self.cpu_ns()
        total, wall, own = self.ask('run %d' % units, '@done')[0]
        used = int(own) if self.pinned else self.cpu_ns() - before
        self.look_at_memory()
        return total, int(wall), used

    def kill(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None
        Machine.running.remove(self)

    def stop(self):
        if self.process is None:
            return
        try:
            self.process.stdin.write(b'quit\n')
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.kill()


WORDS = 'console=ttyS0 quiet panic=-1 cryptomgr.notests mitigations=off'


def squib_argv(squib, backend, kernel, initrd, work, name, cpus=1, more='',
               **config):
    """squib's command line for a guest, by a configuration file."""
    path = os.path.join(work, name + '.json')
    with open(path, 'w') as f:
        json.dump({
            'boot-source': {'kernel_image_path': kernel,
                            'initrd_path': initrd,
                            'boot_args': WORDS + ' reboot=k ' + more},
            'machine-config': {'vcpu_count': cpus, 'mem_size_mib': 512},
            'drives': [], **config}, f)
    return [squib, '--no-api', '--config-file', path, '--backend', backend]


def qemu_argv(qemu, tsc_khz, elf, initrd, cpus=1, more='', devices=()):
    """QEMU's for the same guest: TCG, no firmware's work, the TSC's rate
    given (nothing in this machine could measure it), memory as a memfd so
    that it can be told from QEMU's own."""
    return [qemu, '-M', 'microvm,acpi=on,memory-backend=ram', '-accel', 'tcg',
            '-cpu', 'max', '-m', '512', '-smp', str(cpus), '-object',
            'memory-backend-memfd,id=ram,size=512M,share=on', '-nodefaults',
            '-no-user-config', '-no-reboot', '-display', 'none', '-serial',
            'stdio', '-kernel', elf, '-initrd', initrd, *devices, '-append',
            '%s reboot=t tsc_early_khz=%d tsc=reliable clocksource=tsc %s' %
            (WORDS, tsc_khz, more)]


def unpacked_elf(image, work):
    """The ELF file of a kernel: itself, or what a bzImage's LZ4 holds."""
    with open(image, 'rb') as f:
        data = f.read()
    if data[:4] == b'\x7fELF':
        return image
    setup = data[497]
    offset = int.from_bytes(data[584:588], 'little')
    length = int.from_bytes(data[588:592], 'little')
    start = (setup + 1) * 512 + offset
    elf = os.path.join(work, 'elf')
    # The last four bytes are the length of what was packed; lz4 minds them
    # only after it has written everything.
    with open(elf, 'wb') as out:
        subprocess.run(['lz4', '-dc'], input=data[start:start + length - 4],
                       stdout=out, stderr=subprocess.DEVNULL)
    if os.path.getsize(elf) == 0:
        raise Failed('%s is not packed with LZ4' % image)
    return elf
