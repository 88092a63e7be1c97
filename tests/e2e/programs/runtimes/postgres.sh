#!/bin/bash
# A PostgreSQL of its own in the folder $1: initdb, a server, pgbench's load, a count, a crash and what is there after it.
set -e
export PATH=/usr/lib/postgresql/15/bin:$PATH PGHOST=$1 PGDATA=$1/data PGUSER=postgres
cd /
chmod a+x "${1%/*}"
mkdir -p "$1" && chown postgres:postgres "$1" && chmod 755 "$1"

as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
sql() { as_postgres psql -qAt bench -c "$1"; }
start() { as_postgres pg_ctl start -w -s -l "$1/log" -o "-k $1 -c listen_addresses='' -c fsync=on" || cat "$1/log"; }

as_postgres initdb -A trust --locale=C -E UTF8 >"$1.initdb" 2>&1 || { cat "$1.initdb"; exit 1; }
rm "$1.initdb"
start "$1"
as_postgres createdb bench
as_postgres pgbench -i -q bench 2>/dev/null
as_postgres pgbench -n -c 4 -j 2 -t 25 bench 2>/dev/null | grep 'transactions actually'
sql 'select count(*) from pgbench_history'
sql 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)'
as_postgres pg_ctl stop -s -w -m immediate
start "$1"
sql 'select count(*) from pgbench_history'
sql 'create index on pgbench_accounts(abalance); select count(*) from pgbench_accounts'
as_postgres pg_ctl stop -s -w -m fast
stat -c '%U %a' "$PGDATA"
