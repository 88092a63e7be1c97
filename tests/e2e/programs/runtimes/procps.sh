#!/bin/bash
# What ps, top, pgrep and pkill tell of two children, one of them another user's.
sleep 100 &
mine=$!
setpriv --reuid=65534 --regid=65534 --clear-groups sleep 200 &
theirs=$!
for pid in $mine $theirs; do
    until [ "$(ps -o comm= -p $pid)" = sleep ]; do :; done
done
renice -n 19 -p $mine $theirs >/dev/null # whatever this script itself was started with
ps -o uid=,comm=,args=,stat=,nlwp=,ni= -p $mine,$theirs
ps -o ppid= -p $theirs | grep -qw $$ && echo ours
top -b -n 1 -p $mine,$theirs | grep -c sleep
pgrep -c -P $$ -x sleep
tr '\0' ' ' </proc/$mine/cmdline
echo
readlink /proc/$theirs/exe
grep -E '^(Uid|Gid|Threads):' /proc/$theirs/status
setpriv --reuid=65534 --regid=65534 --clear-groups kill $mine 2>/dev/null || echo refused
pkill -P $$ -f 'sleep 100'
wait $mine
echo $?
kill -9 $theirs
wait $theirs
echo $?
