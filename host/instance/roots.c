#include "instance/roots.h"

#include "instance/instance.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/sha256.h"

#include <limits.h>

void roots_note(const json_t *config)
{
    const char *store = json_str(config, "Store", "");
    char *mine CLEANUP(mem_free) = instance_root();
    struct err ignored = {0};
    char *root CLEANUP(mem_free) = fs_real(mine, &ignored);

    if (!*store || !root)
        return;
    char *folder CLEANUP(mem_free) = fs_join(store, "states");
    char *path CLEANUP(mem_free) = fs_join(folder, sha256_bytes(root, strlen(root)).text);
    if (!fs_exists(path) && !fs_mkdirs(folder, &ignored))
        (void)fs_write_atomic(path, root, strlen(root), 0644, &ignored);
}

static void roots_add(const char *path, struct strs *roots)
{
    struct err gone = {0};
    char *real CLEANUP(mem_free) = fs_real(path, &gone);

    if (real && !strs_has(roots, real))
        strs_add(roots, real);
}

int roots_list(const char *store, struct strs *roots, struct err *err)
{
    char *mine CLEANUP(mem_free) = instance_root();
    char *folder CLEANUP(mem_free) = fs_join(store, "states");
    struct strs notes CLEANUP(strs_free) = {0};

    roots_add(mine, roots);
    int failed = fs_list(folder, &notes, err);
    for (size_t i = 0; !failed && i < notes.len; i++) {
        struct buf root CLEANUP(buf_free) = {0};
        char *path CLEANUP(mem_free) = fs_join(folder, notes.at[i]);
        failed = fs_read(path, PATH_MAX, &root, err);
        if (!failed)
            roots_add(buf_text(&root), roots);
    }
    return failed;
}
