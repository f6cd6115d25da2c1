# SPDX-License-Identifier: Apache-2.0
"""What is concluded from the figures, as text."""
import math

import arm64

COLUMNS = ('native', 'translator', 'interpreter', 'tcg')
TITLES = {'native': 'native', 'translator': 'translator',
          'interpreter': 'interpreter', 'tcg': 'QEMU TCG'}


def minimum(values):
    return min(values) if values else None


def median(values):
    return sorted(values)[(len(values) - 1) // 2] if values else None


def geomean(values):
    values = list(values)
    return (math.exp(sum(map(math.log, values)) / len(values))
            if values else None)


def ratio(a, b):
    return a / b if a is not None and b else None


def show_ns(ns):
    if ns is None:
        return '-'
    for unit, size in (('s', 1e9), ('ms', 1e6), ('us', 1e3)):
        if ns >= size:
            return '%s %s' % (show_number(ns / size), unit)
    return ('%.3f ns' if ns < 1 else '%s ns') % (
        ns if ns < 1 else show_number(ns))


def show(value, form='%.2f'):
    return '-' if value is None else form % value


def show_number(value):
    """Three digits, and never an exponent."""
    if value is None or isinstance(value, int):
        return '-' if value is None else str(value)
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return '%.*f' % (digits, value)


def table(rows, right=1):
    """Lines of a table; columns from number `right` on end flush."""
    widths = [max(len(str(r[i])) for r in rows) for i in range(len(rows[0]))]
    return ['  ' + '  '.join(
        str(cell).rjust(w) if i >= right else str(cell).ljust(w)
        for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in rows]


def cost(row, column):
    """The fastest round: ns of CPU time an operation."""
    return minimum(row['cpu_ns'].get(column, []))


def against(row, base):
    return {c: ratio(cost(row, c), cost(row, base)) for c in COLUMNS}


def summarise(result):
    """Adds what follows from the figures to the result."""
    rows = result['workloads']
    for row in rows:
        row['min_ns'] = {c: cost(row, c) for c in COLUMNS}
        row['median_ns'] = {c: median(row['cpu_ns'].get(c, []))
                            for c in COLUMNS}
        row['to_native'] = against(row, 'native')
        row['to_tcg'] = against(row, 'tcg')
    groups = {}
    for name in dict.fromkeys(r['group'] for r in rows):
        groups[name] = [r for r in rows if r['group'] == name]
    groups['all'] = rows

    def means(key):
        # Only rows that the column and its base have.
        return {name: {c: geomean(r[key][c] for r in members
                                  if r[key][c] is not None)
                       for c in COLUMNS}
                for name, members in groups.items()}
    result['geomean_to_native'] = means('to_native')
    result['geomean_to_tcg'] = means('to_tcg')
    for boot in result['boots']:
        boot['min_s'] = {c: minimum(v) for c, v in boot['cpu_s'].items()}
        boot['median_s'] = {c: median(v) for c, v in boot['cpu_s'].items()}
    result['goals'] = goals(result)


def goals(result):
    """The table of what the translator is to reach: (measure, value, must,
    aim, unit), lower is better unless the unit says otherwise."""
    rows = {r['name']: r for r in result['workloads']}
    native, tcg = result['geomean_to_native'], result['geomean_to_tcg']

    def us(name):
        ns = rows[name]['min_ns']['translator'] if name in rows else None
        return ns / 1e3 if ns is not None else None

    def boot(kernel, column='translator'):
        for b in result['boots']:
            if b['kernel'] == kernel:
                return b['min_s'].get(column)
        return None

    def times(name):
        return rows[name]['to_native']['translator'] if name in rows else None

    def api(what):
        return next((r['value'] for r in result['api']
                     if r['what'] == what), None)

    def group(name):
        return native.get(name, {}).get('translator')

    whole = tcg['all']['translator']
    slower = [r['name'] for r in result['workloads']
              if (r['to_tcg']['translator'] or 0) > 1]
    own = [m['own_mib'] for m in result['memory']
           if m['column'] == 'translator']
    own += [m['own_mib'] for m in result['runs']
            if m['column'] == 'translator']
    busy = [s['speedup'] for s in result['scaling']
            if s['column'] == 'translator' and s.get('speedup')]
    found = [
        ('boot Debian kernel', boot('debian'), 1.3, 0.7, 's'),
        ('boot Debian kernel, to TCG',
         ratio(boot('debian'), boot('debian', 'tcg')), 0.5, None, 'x'),
        ('boot tailored kernel', boot('tailored'), 0.35, 0.125, 's'),
        ('integer to native', group('integer'), 3, 2, 'x'),
        ('floating point to native', group('floating point'), 5, 2.5, 'x'),
        ('AES-GCM to native', times('AES-GCM'), 4, 1.5, 'x'),
        ('ChaCha20 to native', times('ChaCha20'), 4, 1.5, 'x'),
        ('memcpy 16 KiB to native', times('memcpy 16 KiB'), 4, 1.5, 'x'),
        ('getpid', us('getpid'), 0.3, 0.15, 'us'),
        ('pipe round trip', us('pipe ping-pong'), 40, 12, 'us'),
        ('page fault', us('page fault'), 6, 3, 'us'),
        ('mmap, 2 faults, munmap', us('mmap+touch2+munmap'), 60, 25, 'us'),
        ('fork+exec', us('fork+exec'), 2500, 1200, 'us'),
        ('whole table, times faster than TCG', ratio(1, whole), 4, 6,
         'x more'),
        ('rows slower than TCG',
         len(slower) if whole is not None else None, 0, None, ''),
        ('memory beyond the guest\'s', max(own) if own else None, 40, 20,
         'MiB'),
        ('memory beyond the guest\'s and the code cache',
         api('memory with a guest, all else'), 5, None, 'MiB'),
        ('2 vCPUs to one', busy[0] if busy else None, 1.8, None, 'x more'),
        ('API socket ready, CPU', api('API socket ready, CPU'), 5, None,
         'ms'),
        ('API round trip, p50', api('API round trip, p50'), 100, None, 'us'),
    ]
    keys = ('measure', 'value', 'must', 'aim', 'unit')
    return [dict(zip(keys, g)) for g in found]


def verdict(goal):
    if goal['value'] is None:
        return 'not measured'
    more = goal['unit'].endswith('more')
    for name, limit in (('aim', goal['aim']), ('must', goal['must'])):
        if limit is not None and (goal['value'] >= limit if more
                                  else goal['value'] <= limit):
            return name + ' reached' if goal['aim'] else 'reached'
    return 'MISSED'


def devices(rows):
    found = {}
    for r in rows:
        found.setdefault((r['what'], r['unit']), {})[r['column']] = r
    columns = [c for c in COLUMNS if any(c in v for v in found.values())]
    grid = [('', '', *(TITLES[c] for c in columns), 'translator/TCG')]
    for (what, unit), by in found.items():
        value = {c: by[c]['value'] if c in by else None for c in columns}
        grid.append((what, unit, *(show_number(value[c]) for c in columns),
                     show(ratio(value.get('translator'), value.get('tcg')))))
    out = table(grid, 2)
    for why in dict.fromkeys(r['why'] for r in rows if r['why']):
        out.append('  n/a, %s: %s' % (', '.join(
            '%s on %s' % (r['what'], TITLES[r['column']])
            for r in rows if r['why'] == why), why))
    return out


def text(result):
    out = ['squib bench: ' + result['machine']['text'],
           '%d rounds; load before %s; %s' % (
               result['rounds'], result['machine']['load'],
               result['versions'])]
    out += ['note: ' + n for n in result['notes']]
    if result['workloads']:
        out += ['', 'CPU time an operation, fastest round (median), and the '
                'fastest as a multiple of native', '']
        grid = [('', 'native') + sum(((TITLES[c], 'median', 'x native')
                                      for c in COLUMNS[1:]), ()) +
                ('translator/TCG',)]
        for row in result['workloads']:
            line = [row['name'], show_ns(row['min_ns']['native'])]
            for c in COLUMNS[1:]:
                line += [show_ns(row['min_ns'][c]),
                         show_ns(row['median_ns'][c]),
                         show(row['to_native'][c])]
            grid.append(line + [show(row['to_tcg']['translator'])])
        for name in result['geomean_to_native']:
            line = ['geomean, ' + name, '']
            for c in COLUMNS[1:]:
                line += ['', '', show(result['geomean_to_native'][name][c])]
            grid.append(
                line + [show(result['geomean_to_tcg'][name]['translator'])])
        out += table(grid)
        variants = []
        for row in result['workloads']:
            by = {}
            for c, v in row['variant'].items():
                by.setdefault(v, []).append(TITLES[c])
            if any(by):
                variants.append('  %s: %s' % (row['name'], '; '.join(
                    '%s on %s' % (v, ', '.join(cs)) for v, cs in by.items())))
        if variants:
            out += ['', 'which code ran, where it depends on CPUID'] + variants
        wrong = [r for r in result['workloads'] if r['wrong'] or r['failed']]
        for row in wrong:
            for c, why in row['wrong'].items():
                out.append('WRONG CHECKSUM: %s on %s: %s' %
                           (row['name'], TITLES[c], why))
            for c, why in row['failed'].items():
                out.append('failed: %s on %s: %s' %
                           (row['name'], TITLES[c], why))
    if result['boots']:
        grid = [('kernel', 'column', 'CPU min', 'median', 'to TCG',
                 'own MiB')]
        for boot in result['boots']:
            for c, value in boot['min_s'].items():
                grid.append((boot['kernel'], TITLES[c], show(value) + ' s',
                             show(boot['median_s'][c]) + ' s',
                             show(ratio(value, boot['min_s'].get('tcg'))),
                             show(boot['own_mib'].get(c), '%.1f')))
        out += ['', 'power-on to init and restart, CPU time of the monitor '
                'and its children (own: peak that is not guest memory)',
                ''] + table(grid, 2)
    if result['runs']:
        grid = [('kernel', 'column', 'CPU min', 'median', 'instructions',
                 'M/s', 'guest MiB', 'own MiB')]
        grid += [(r['kernel'], TITLES[r['column']],
                  show(minimum(r['cpu_s'])) + ' s',
                  show(median(r['cpu_s'])) + ' s',
                  show(r['minsn'], '%d M'), show(r['mips'], '%.0f'),
                  show(r['guest_mib'], '%.1f'), show(r['own_mib'], '%.1f'))
                 for r in result['runs']]
        out += ['', 'squib run -- true: boot, agent, command, end '
                '(M/s: over all CPU time; own: peak that is not guest memory)',
                ''] + table(grid, 2)
    if result['scaling']:
        out += ['', 'two busy processes on two vCPUs', ''] + table(
            [('column', 'one', 'two', 'speed-up')] +
            [(TITLES[s['column']], show(s['one_ms'], '%.0f ms'),
              show(s['two_ms'], '%.0f ms'), show(s['speedup']))
             for s in result['scaling']])
    if result.get('io'):
        out += ['', 'devices, best round, beside QEMU TCG where it has them',
                ''] + devices(result['io'])
    if result.get('api'):
        out += ['', 'API and size', ''] + table(
            [(r['what'], show_number(r['value']), r['unit'])
             for r in result['api']])
    if result['memory']:
        out += ['', 'memory beyond the guest\'s over all workloads', '']
        out += table([(TITLES[m['column']], '%.1f MiB' % m['own_mib'])
                      for m in result['memory']])
    if result.get('arm64'):
        title, grid = arm64.table(result['arm64'], show_ns, show, ratio)
        out += ['', title, ''] + table(grid)
    if result['exits']:
        out += ['', 'exits (fastest of several rounds)']
        out += ['  ' + line for line in result['exits']]
    if result['goals']:
        out += ['', 'goals', ''] + table(
            [('measure', 'value', 'must', 'aim', '')] +
            [(g['measure'], show_number(g['value']) + ' ' + g['unit'],
              show(g['must'], '%g'), show(g['aim'], '%g'), verdict(g))
             for g in result['goals']])
    slower = ['%s (%.2f)' % (r['name'], r['to_tcg']['translator'])
              for r in result['workloads']
              if (r['to_tcg']['translator'] or 0) > 1]
    if slower:
        out += ['', 'slower than TCG: ' + ', '.join(slower)]
    return '\n'.join(out) + '\n'
