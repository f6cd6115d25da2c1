# SPDX-License-Identifier: Apache-2.0
"""The table as a picture: one line a workload, CPU time as a multiple of
native on a logarithmic axis."""
from math import log
from xml.sax.saxutils import escape

from report import TITLES

COLOURS = (('tcg', '#c8553d'), ('interpreter', '#8d99ae'),
           ('translator', '#1b7f79'))
LEFT, RIGHT, TOP, STEP, WIDTH = 190, 40, 84, 20, 860


def svg(result):
    lines = []
    for group, means in result['geomean_to_native'].items():
        if group == 'all':
            continue
        lines.append((group, None))
        lines += [(r['name'], r['to_native']) for r in result['workloads']
                  if r['group'] == group]
        lines.append(('geometric mean', means))
    lines += [('all', None),
              ('geometric mean', result['geomean_to_native']['all'])]
    values = [v for _, row in lines if row for v in row.values() if v]
    low, high = 0.5, max(values + [10]) * 1.3
    decades = [d for d in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000,
                           2000, 5000, 10000) if d <= high]
    height = TOP + STEP * len(lines) + 20

    def x(value):
        value = min(max(value, low), high)
        return LEFT + (WIDTH - LEFT - RIGHT) * log(value / low) / log(
            high / low)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
           'font-family="sans-serif" font-size="12">' % (WIDTH, height),
           '<rect width="100%" height="100%" fill="#fff"/>',
           '<text x="12" y="22" font-size="16">CPU time as a multiple of '
           'native (1 is native, left is faster)</text>',
           '<text x="12" y="40" fill="#666">%s</text>' %
           escape(result['machine']['text'])]
    at = LEFT
    for column, colour in reversed(COLOURS):
        out.append('<circle cx="%d" cy="56" r="5" fill="%s"/>'
                   '<text x="%d" y="60">%s</text>' %
                   (at, colour, at + 10, TITLES[column]))
        at += 110
    for d in decades:
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/>'
                   '<text x="%.1f" y="%d" fill="#666" text-anchor="middle">'
                   '%g</text>' % (x(d), x(d), TOP - 4, height - 14,
                                  '#888' if d == 1 else '#ddd', x(d), TOP - 8,
                                  d))
    y = TOP + 12
    for name, row in lines:
        if row is None:
            out.append('<text x="12" y="%d" font-weight="bold">%s</text>' %
                       (y + 4, escape(name)))
            y += STEP
            continue
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' %
                   (LEFT - 12, y + 4, escape(name)))
        shown = [x(row[c]) for c, _ in COLOURS if row.get(c)]
        if shown:
            out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" '
                       'stroke="#bbb"/>' % (min(shown), max(shown), y, y))
        for column, colour in COLOURS:
            if row.get(column):
                out.append('<circle cx="%.1f" cy="%d" r="%d" fill="%s">'
                           '<title>%s: %.2f</title></circle>' %
                           (x(row[column]), y,
                            7 if name == 'geometric mean' else 5, colour,
                            TITLES[column], row[column]))
        y += STEP
    return '\n'.join(out + ['</svg>']) + '\n'
