#!/bin/bash
# A PostgreSQL server on the volume /db, and psql, which reads what to do from standard input.
export PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin PGDATA=/db/data PGHOST=/tmp PGUSER=postgres
cd /
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
chmod 1777 /tmp
as_postgres pg_ctl start -w -s -l /tmp/log -o "-k /tmp -c listen_addresses= -c shared_buffers=8MB -c max_wal_size=32MB" || cat /tmp/log
exec setpriv --reuid=postgres --regid=postgres --clear-groups psql -qAt postgres
