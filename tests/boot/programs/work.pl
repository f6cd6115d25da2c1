# SPDX-License-Identifier: Apache-2.0
#
# Perl's part of work.sh. (A file, as perl -e wants a /dev/null.)
use strict;
my %sum;
my $x = 42;
for my $i (1 .. 20000) {
    $x = ($x * 69069 + 1) % 4294967296;
    $sum{$x % 1000} += sqrt($x) / $i;
}
printf "%.17g ", $sum{$_} for (1, 10, 100, 999);
print "\n", join(",", map { sprintf "%b", $_ } (5, 1 << 40)), "\n";
my $text = join " ", map { $_ * $_ } 1 .. 3000;
my $doubled = () = $text =~ /(\d)\1/g;
print "$doubled\n", unpack("H*", pack("d<f<q<n", -1.5e300, 3.3, -7, 513)),
    "\n", sin(1e22), " ", exp(700), " ", 2 ** 0.5, " ", 10 % 3, "\n";
