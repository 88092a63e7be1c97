/* Puts one key after the other into LevelDB, with sync, and says so when each is durable.
 *     kv_leveldb FOLDER write COUNT      kv_leveldb FOLDER check */
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

static void must(char *error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s\n", what, error);
    exit(1);
}

int main(int argc, char **argv)
{
    struct kv_args args = kv_arguments(argc, argv);
    leveldb_options_t *options = leveldb_options_create();
    leveldb_writeoptions_t *writing = leveldb_writeoptions_create();
    leveldb_readoptions_t *reading = leveldb_readoptions_create();
    char value[KV_MAX], *error = NULL;

    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_paranoid_checks(options, 1);
    leveldb_options_set_write_buffer_size(options, 100000); /* so that tables are made and merged */
    leveldb_writeoptions_set_sync(writing, 1);
    leveldb_readoptions_set_verify_checksums(reading, 1);
    leveldb_t *db = leveldb_open(options, args.folder, &error);
    must(error, "open");
    for (unsigned n = 1; n <= args.count; n++) {
        unsigned key = n * 2654435761u;
        leveldb_put(db, writing, (const char *)&key, sizeof(key), value, kv_value(n, value),
                    &error);
        must(error, "put");
        kv_ack(n);
    }
    for (unsigned n = 1; !args.count; n++) {
        unsigned key = n * 2654435761u;
        size_t len;
        char *found = leveldb_get(db, reading, (const char *)&key, sizeof(key), &len, &error);
        must(error, "get");
        if (!found)
            kv_end(n - 1);
        kv_compare(n, found, len);
        free(found);
    }
    leveldb_close(db);
    return 0;
}
