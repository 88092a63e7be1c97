#!/bin/bash
# A MariaDB of its own in the folder $1: the system tables, a server, inserts and transactions by clients, a restart.
set -e
cd /
chmod a+x "${1%/*}"
mkdir -p "$1/tmp" && chown -R nobody:nogroup "$1"
common="--no-defaults --datadir=$1/data --tmpdir=$1/tmp --user=nobody --skip-networking --socket=$1/s --pid-file=$1/pid
        --innodb-buffer-pool-size=16M --innodb-log-file-size=8M --key-buffer-size=1M --aria-pagecache-buffer-size=1M"
tables=/usr/share/mysql
mkdir "$1/data" && chown nobody:nogroup "$1/data"

sql() { mariadb --no-defaults --socket="$1/s" -N -B -e "$2" test; }
start()
{
    mariadbd $common --log-error="$1/log" &
    server=$!
    for _ in $(seq 300); do
        mariadb --no-defaults --socket="$1/s" -e 'select 1' >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$1/log"
    exit 1
}

{ printf '%s;\n' 'create database mysql' 'create database test' 'use mysql'
  cat $tables/mysql_system_tables.sql $tables/mysql_performance_tables.sql $tables/mysql_system_tables_data.sql; } >"$1/boot.sql"
mariadbd $common --bootstrap <"$1/boot.sql" >"$1/log" 2>&1 || { tail "$1/log"; exit 1; }
start "$1"
sql "$1" 'create table account (id int primary key auto_increment, name varchar(40), balance int) engine=innodb'
for client in 1 2 3 4; do
    for i in $(seq 50); do echo "insert into account (name, balance) values ('c$client-$i', $i);"; done |
        mariadb --no-defaults --socket="$1/s" test &
    clients="$clients $!"
done
wait $clients
sql "$1" 'select count(*), sum(balance), count(distinct name) from account'
sql "$1" 'start transaction; update account set balance = 0; rollback; select sum(balance) from account'
sql "$1" 'insert into account (name, balance) select concat(name, "x"), balance from account; select count(*) from account'
sql "$1" shutdown
wait $server
start "$1"
sql "$1" 'select count(*), sum(balance) from account where name like "%x"'
sql "$1" shutdown
wait $server
stat -c '%U' "$1/data/test"
