#!/bin/bash
# Every tool of procps finds the files it reads, and in them what it looks for.
check() { # NAME PATTERN COMMAND...: the command ends well and says the pattern
    local name=$1 pattern=$2
    shift 2
    if "$@" >/tmp/said 2>&1 && grep -qE "$pattern" /tmp/said; then
        echo "$name: yes"
    else
        echo "$name: no ($*)"
        head -5 /tmp/said
    fi
}
sleep 100 &
# But the columns that only draw, and systemd's, some of which end this ps.
columns=($(ps L | while read -r name _; do
    [[ $name =~ ^_|^(lsession|machine|ouid|seat|slice|unit|uunit|zone)$ ]] || echo "$name"
done))
for ((i = 0; i < ${#columns[@]}; i += 10)); do # a longer line ends it, too
    some=${columns[*]:i:10}
    check "ps -o from ${some%% *}" . ps -o "${some// /,}" -p $!
done
check "pss and uss" "^ *[1-9][0-9]* +[1-9]" ps -o pss=,uss= -p $$
check "faults" "^ *[1-9]" ps -o min_flt= -p $$
check "pmap -x" "^total kB +[1-9][0-9]* +[1-9]" pmap -x $$
check "pmap -X" "Pss.*Referenced" pmap -X $$
check "pmap -d" "^mapped: [1-9]" pmap -d $$
check "vmstat" "^ *[0-9]+ +[0-9]+ +[0-9]+ +[1-9]" vmstat
check "vmstat -s" "[1-9][0-9]* K total memory" vmstat -s
check "vmstat -m" "^Cache" vmstat -m
check "vmstat -D" "disks" vmstat -D
check "free" "^Mem: +[1-9]" free
check "slabtop" "Active / Total Objects" slabtop -o
check "uptime" "load average" uptime
check "w" "USER" w
check "top -H" "Threads:.* total" top -H -b -n 1
check "tload's file" "^[0-9]+\.[0-9]+ " cat /proc/loadavg
check "pidof" "^[1-9]" pidof sleep
check "pwdx" ": /" pwdx $$
check "sysctl -a" "^vm.overcommit_memory = " sysctl -a
check "sysctl of one" "^vm.swappiness = " sysctl vm.swappiness
check "oom_score_adj" "^300$" bash -c 'echo 300 >/proc/self/oom_score_adj; cat /proc/$$/oom_score_adj'
kill $!
