# Threads of the interpreter, sockets, sorting, a packed structure, a signal.
use strict;
use threads;
use threads::shared;
use IO::Socket::INET;
use Digest::SHA qw(sha256_hex);

my $sum : shared = 0;
my @threads = map { my $n = $_; threads->create(sub { for (1 .. 200) { lock $sum; $sum += $n } $n }) } 1 .. 4;
print join(',', map { $_->join } @threads), " $sum\n";

my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->sockport) or die $!;
my $peer = $server->accept;
print $client "over a socket\n";
$client->shutdown(1);
print scalar <$peer>;

my %words;
$words{substr sha256_hex($_), 0, 1}++ for 1 .. 5000;
print join(' ', map { "$_=$words{$_}" } sort keys %words), "\n";
$SIG{ALRM} = sub { print "alarm\n" };
alarm 1;
select undef, undef, undef, 3;
