/* Puts one key after the other into LMDB, a transaction each, and says so when each is durable.
 *     kv_lmdb FOLDER write COUNT      kv_lmdb FOLDER check */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

static void must(int err, const char *what)
{
    if (!err)
        return;
    fprintf(stderr, "%s: %s\n", what, mdb_strerror(err));
    exit(1);
}

int main(int argc, char **argv)
{
    struct kv_args args = kv_arguments(argc, argv);
    char value[KV_MAX];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    must(mdb_env_create(&env), "create");
    must(mdb_env_set_mapsize(env, 32 << 20), "mapsize");
    must(mdb_env_open(env, args.folder, 0, 0644), "open");
    must(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    must(mdb_dbi_open(txn, NULL, MDB_CREATE, &dbi), "dbi");
    must(mdb_txn_commit(txn), "commit");
    for (unsigned n = 1; n <= args.count; n++) {
        unsigned key = n * 2654435761u;
        MDB_val k = {sizeof(key), &key}, v = {kv_value(n, value), value};
        must(mdb_txn_begin(env, NULL, 0, &txn), "begin");
        must(mdb_put(txn, dbi, &k, &v, 0), "put");
        must(mdb_txn_commit(txn), "commit");
        kv_ack(n);
    }
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "begin");
    for (unsigned n = 1; !args.count; n++) {
        unsigned key = n * 2654435761u;
        MDB_val k = {sizeof(key), &key}, v;
        int err = mdb_get(txn, dbi, &k, &v);
        if (err == MDB_NOTFOUND)
            kv_end(n - 1);
        must(err, "get");
        kv_compare(n, v.mv_data, v.mv_size);
    }
    return 0;
}
