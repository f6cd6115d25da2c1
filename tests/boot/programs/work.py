# SPDX-License-Identifier: Apache-2.0
"""Python's part of work.sh: what it prints depends on the processor alone.

A digest for each function or module, so that a difference names its place,
and a few values in full.
"""
import array
import bz2
import cmath
import collections
import ctypes
import decimal
import fractions
import hashlib
import hmac
import itertools
import json
import lzma
import math
import random
import re
import sqlite3
import ssl
import statistics
import struct
import sys
import zlib

HERE = sys.path[0]


def digest(data):
    if isinstance(data, str):
        data = data.encode()
    return hashlib.sha256(data).hexdigest()[:24]


def show(name, *values):
    print(name, *values)


def results(function, arguments):
    for a in arguments:
        try:
            yield function(*a)
        except (ValueError, OverflowError, ZeroDivisionError) as e:
            yield type(e).__name__


def show_function(name, function, arguments):
    r = [repr(x) for x in results(function, arguments)]
    show(name, digest(' '.join(r)), r[2], r[-1])


rng = random.Random(20240229)
tiny = sys.float_info.min
points = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, -5e-324, 1e300, 1e22, 2.0 ** 53,
          tiny, tiny / 3, math.pi, math.e, float('inf'), float('-inf'),
          float('nan'), 709.78, -745.1, 1 + 2.0 ** -52]
points += [rng.uniform(-1, 1) for _ in range(80)]
points += [rng.uniform(-1000, 1000) for _ in range(80)]
points += [rng.uniform(-1, 1) * 10.0 ** rng.randint(-300, 300)
           for _ in range(80)]
pairs = list(zip(points, points[7:] + points[:7]))

# --- floating point ------------------------------------------------------
for name in ('acos acosh asin asinh atan atanh cbrt ceil cos cosh degrees '
             'erf erfc exp exp2 expm1 fabs floor frexp gamma isfinite lgamma '
             'log log10 log1p log2 modf radians sin sinh sqrt tan tanh trunc '
             'ulp').split():
    show_function('math.' + name, getattr(math, name),
                  [(x,) for x in points])
for name in 'atan2 copysign fmod hypot nextafter pow remainder'.split():
    show_function('math.' + name, getattr(math, name), pairs)
for name in 'add sub mul truediv floordiv mod pow lt eq'.split():
    operator = getattr(float, '__%s__' % name)
    show_function('float.' + name, operator, pairs)
show_function('round', round, [(x, n) for x in points for n in (-2, 0, 3)])
show_function('float(repr)', lambda x: float(repr(x)), [(x,) for x in points])
show_function('hex', float.hex, [(x,) for x in points])
show_function('int', int, [(x,) for x in points])
for name in 'exp log sqrt sin tanh acos'.split():
    show_function('cmath.' + name, getattr(cmath, name),
                  [(complex(*p),) for p in pairs])
show('fsum', repr(math.fsum(points[17:])), repr(sum(points[17:])))
show('statistics', statistics.stdev(points[20:100]),
     statistics.median(points[20:100]), rng.gauss(0, 1))

# The C library's own types: x87 for long double, SSE for float.
libm = ctypes.CDLL('libm.so.6')
for suffix, kind in (('l', ctypes.c_longdouble), ('f', ctypes.c_float)):
    for name in ('sin cos tan atan exp log log2 sqrt cbrt sinh rint floor '
                 'expm1 erf lgamma nearbyint logb').split():
        f = getattr(libm, name + suffix)
        f.restype, f.argtypes = kind, [kind]
        show_function('libm.' + name + suffix, f, [(x,) for x in points])
    for name in 'pow fmod hypot atan2 remainder fmax fdim'.split():
        f = getattr(libm, name + suffix)
        f.restype, f.argtypes = kind, [kind, kind]
        show_function('libm.' + name + suffix, f, pairs)
libm.fesetround.restype = ctypes.c_int
for mode, name in ((0x400, 'down'), (0x800, 'up'), (0xc00, 'to zero')):
    libm.fesetround(mode)
    values = [a / b for a, b in pairs if b] + [a * b for a, b in pairs]
    values += [libm.sqrtl(x) for x in points[20:40]]
    values += [int(x).bit_length() for x in points[20:]]
    libm.fesetround(0)
    show('rounding', name, digest(repr(values)))

# --- integers --------------------------------------------------------------
big = [rng.getrandbits(rng.choice((8, 31, 63, 64, 65, 500, 4000))) + 1
       for _ in range(120)]
for name in 'add sub mul floordiv mod and or xor gcd'.split():
    operator = math.gcd if name == 'gcd' else getattr(int, '__%s__' % name)
    show_function('int.' + name, operator, list(zip(big, big[1:])))
show('powers', digest(str([pow(a, b | 1, c | 1) for a, b, c in
                           zip(big[:25], big[25:50], big[50:75])])))
show('shifts', digest(str([(a << n, a >> n) for n in range(0, 130, 7)
                           for a in big[:20]])))
show('factorial', digest(str(math.factorial(600))), math.isqrt(10 ** 60),
     math.comb(200, 77))
decimal.getcontext().prec = 120
show('decimal', decimal.Decimal(2).sqrt(), decimal.Decimal(3).ln(),
     (decimal.Decimal(1) / 7).exp())
show('fractions', sum(fractions.Fraction(1, n) for n in range(1, 90)))

# --- packing, compression, hashes --------------------------------------------
packed = b''.join(struct.pack('<dq', x, n) for n, x in enumerate(points))
packed += b''.join(struct.pack('>f', x) for x in points if abs(x) < 1e30)
packed += b''.join(struct.pack('<e', x) for x in points if abs(x) < 60000)
show('struct', digest(packed), struct.unpack('<hHiIqQ', packed[:28]))
words = array.array('I', [x & 0xffffffff for x in big] * 30)
words.byteswap()
blob = words.tobytes() + packed
show('crc', zlib.crc32(blob), zlib.adler32(blob))
for name in sorted(hashlib.algorithms_guaranteed):
    h = hashlib.new(name, blob)
    show(name, h.hexdigest(20) if name.startswith('shake') else h.hexdigest())
show('pbkdf2', hashlib.pbkdf2_hmac('sha512', b'pw', b'salt', 2000).hex())
show('scrypt', hashlib.scrypt(b'pw', salt=b'salt', n=1024, r=8, p=1).hex())
show('hmac', hmac.digest(b'key', blob, 'sha1').hex())
for name, module in (('zlib', zlib), ('bz2', bz2), ('lzma', lzma)):
    small = module.compress(blob)
    show(name, len(small), digest(small), module.decompress(small) == blob)

# --- text, data structures ---------------------------------------------------
text = ' '.join('%x %s %r' % (n, chr(0x3b1 + n % 24) * (n % 5), x)
                for n, x in zip(range(2000), itertools.cycle(points)))
show('text', len(text), digest(text), digest(text.upper()),
     digest(text.encode('utf-16')), text.count('1e'))
show('re', len(re.findall(r'(\d)\1+', text)),
     digest(re.sub(r'([0-9a-f]+) (\w*)', r'<\2|\1>', text)),
     re.search(r'(?P<a>[α-ω]{4}) (?P<b>-?\d+\.\d+)', text).groups())
table = [{'n': n, 'x': x, 's': text[n:n + 9], 'l': [n, None, True]}
         for n, x in enumerate(points[20:])]
dumped = json.dumps(table, sort_keys=True, indent=1)
show('json', digest(dumped), json.loads(dumped) == table)
show('sort', digest(repr(sorted(points[20:] + big))),
     digest(repr(sorted(text.split(), key=lambda w: (len(w), w)))))
show('counter', collections.Counter(text).most_common(5))
show('set', digest(repr(sorted(set(text.split()) & set(map(str, range(99)))))))
show('permutations', sum(p[0] * p[-1] for p in
                         itertools.permutations(range(7))))


def queens(n, row=0, columns=0, up=0, down=0):
    if row == n:
        return 1
    free = ~(columns | up | down) & ((1 << n) - 1)
    found = 0
    while free:
        bit = free & -free
        free ^= bit
        found += queens(n, row + 1, columns | bit, (up | bit) << 1,
                        (down | bit) >> 1)
    return found


show('queens', queens(7))

db = sqlite3.connect(':memory:')
db.execute('create table t (n integer, x real, s text)')
db.executemany('insert into t values (?, ?, ?)',
               [(n, x, text[n:n + 7]) for n, x in enumerate(points[20:])])
show('sqlite', db.execute('select count(*), sum(x), avg(n), max(s), '
                          'total(n * x) from t where n % 3 = 1').fetchall())
show('sqlite', db.execute('select n % 7, round(sum(x), 3), min(s) from t '
                          'group by 1 order by 2').fetchall())

# --- a TLS connection with itself: AES-GCM, ChaCha20-Poly1305, curves -------
for suite, version in (('ECDHE-RSA-AES256-GCM-SHA384', ssl.TLSVersion.TLSv1_2),
                       ('ECDHE-RSA-CHACHA20-POLY1305', ssl.TLSVersion.TLSv1_2),
                       ('AES128-SHA256', ssl.TLSVersion.TLSv1_2),
                       (None, ssl.TLSVersion.TLSv1_3)):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(HERE + '/cert.pem', HERE + '/rsa.pem')
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(HERE + '/cert.pem')
    client.check_hostname = False
    client.maximum_version = client.minimum_version = version
    if suite:
        client.set_ciphers(suite)
        server.set_ciphers(suite)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    c = client.wrap_bio(down, up)
    s = server.wrap_bio(up, down, server_side=True)
    waiting = [c, s, c, s, c, s]
    for end in waiting:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    received = b''
    for start in range(0, len(blob), 4096):
        c.write(blob[start:start + 4096])
        try:
            while True:
                received += s.read(65536)
        except ssl.SSLWantReadError:
            pass
    show('tls', c.version(), c.cipher()[0], received == blob)
