# fork, wait, a pipe to a command and one from it.
$| = 1;
pipe my $in, my $out;
my $pid = fork // die $!;
if (!$pid) { close $in; print $out "child\n"; close $out; exit 7 }
close $out;
print <$in>;
waitpid $pid, 0;
print $? >> 8, "\n";
open my $command, '-|', 'seq 3 | sort -r' or die $!;
print <$command>;
close $command;
print `echo quoted`;
