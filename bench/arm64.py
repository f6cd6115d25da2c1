# SPDX-License-Identifier: Apache-2.0
"""x86-64 guests on arm64: the interpreter of the arm64 build.

An x86-64 host runs the static program that `make cross-arm64` makes under
qemu-user, beside the interpreter of this host's own build. That is not a real
arm64 host: what qemu-user needs to translate squib is in the figures. On an
arm64 host the interpreter's figures are in the other parts.
"""
import os
import shutil

from machines import Failed, Machine

PROGRAM = os.path.join('build-cross', 'squib-arm64')
# Some of each group; one unit of each, as one takes seconds.
ROWS = ('qsort', 'n-body', 'ChaCha20', 'memcpy 16 KiB', 'getpid')
COLUMNS = ('here', 'arm64')


def measure(bench, top):
    """Fills bench.result['arm64'], or notes why there is nothing."""
    squib, user = os.path.join(top, PROGRAM), shutil.which('qemu-aarch64')
    if not user or not os.path.exists(squib):
        bench.note('no interpreter on arm64: no %s' % (
            'qemu-aarch64 (apt-get install qemu-user)' if not user else
            PROGRAM + ' (make cross-arm64)'))
        return
    rows = {}
    for column, begin in zip(COLUMNS, ([], [user, squib])):
        argv = bench.guest('interpreter', name='arm64-' + column)
        machine = Machine(begin + argv[1:] if begin else argv)
        try:
            bench.say('arm64: boot on ' + column)
            machine.start()
            put(rows, 'power-on to squib-bench', column, machine.cpu_ns())
            units = {r['name']: int(r['ops']) for r in machine.rows()}
            for name in ROWS:
                bench.say('arm64: %s on %s' % (name, column))
                total, _, cpu = machine.measure(name, 1)
                put(rows, name, column, cpu / units[name])
                want = bench.native.measure(name, 1)[0]
                if total != want:
                    bench.note('WRONG CHECKSUM: %s in the interpreter, %s' % (
                        name, column))
                    rows[name]['wrong'] = True
        except Failed as e:
            bench.note('interpreter on arm64, %s: %s' % (column, e))
            bench.result['arm64_failed'] = True
        machine.stop()
    bench.result['arm64'] = list(rows.values())


def put(rows, name, column, ns):
    rows.setdefault(name, {'name': name, 'wrong': False})[column] = ns


def table(found, show_ns, show, ratio):
    """The section of the report: its title, and rows of cells."""
    title = ('x86-64 guests on arm64: the interpreter of the arm64 build '
             'under qemu-user\non this host, which is NOT a real arm64 host '
             '(translating squib is in its figures);\nCPU time an operation, '
             'one round of one unit')
    grid = [('', 'interpreter here', 'on arm64, qemu-user', 'times')]
    for row in found:
        here, arm64 = (row.get(c) for c in COLUMNS)
        grid.append((row['name'], show_ns(here), show_ns(arm64),
                     show(ratio(arm64, here))))
    return title, grid
