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

# System V: a child waits for a semaphore, and a message comes back.
use IPC::SysV qw(IPC_PRIVATE IPC_CREAT);
use IPC::Semaphore;
use IPC::Msg;
my $semaphore = IPC::Semaphore->new(IPC_PRIVATE, 1, 0600 | IPC_CREAT) or die $!;
my $queue = IPC::Msg->new(IPC_PRIVATE, 0600 | IPC_CREAT) or die $!;
$semaphore->setval(0, 0);
my $other = fork // die $!;
if (!$other) {
    $semaphore->op(0, -1, 0);
    $queue->snd(3, "from the child");
    exit 0;
}
$semaphore->op(0, 1, 0);
my $type = $queue->rcv(my $text, 100, 3);
waitpid $other, 0;
print "$type $text ", $semaphore->getval(0), "\n";
$semaphore->remove;
$queue->remove;
