#include "image/erofs.h"

#include "image/erofs_owner.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* Any UUID will do, as long as it is always the same one. */
#define EROFS_UUID "f0e1d2c3-b4a5-4697-8879-6a5b4c3d2e1f"

enum {
    EROFS_BLOCK = 4096,
};

/* The newest file's time, in whole seconds: mkfs.erofs keeps every time up to this one. */
static time_t stage_newest(const struct tree *tree)
{
    time_t newest = TREE_EPOCH;

    for (size_t i = 0; i < tree->len; i++)
        newest = max(newest, tree->nodes[i]->mtime.tv_sec + 1);
    return newest;
}

/* Owners of 17 bits and more fit in the larger kind of inode only. */
static bool stage_has_large_ids(const struct tree *tree)
{
    for (size_t i = 0; i < tree->len; i++)
        if (tree->nodes[i]->uid > UINT16_MAX || tree->nodes[i]->gid > UINT16_MAX)
            return true;
    return false;
}

/* No space is what mkfs.erofs says in numbers only, so look for ourselves. */
static int erofs_explain(const char *scratch, struct err *err)
{
    struct statvfs vfs;

    if (err->code == ENOSPC || (statvfs(scratch, &vfs) == 0 && vfs.f_bavail < 16))
        return err_set(err, ENOSPC, "%s: no space left on the device; free some, or set INGOT_HOME",
                       scratch);
    return -err->code;
}

/* What we read ourselves stays as it is: erofs_read.h knows no compression. */
static int erofs_write_hints(const char *path, struct err *err)
{
    static const char hints[] = "0 ^\\.ingot/\n";

    return fs_write(path, hints, strlen(hints), 0600, err);
}

struct erofs_job {
    const char *stage, *out, *hints;
    time_t newest;
    bool large_ids;
    enum erofs_compression compression;
};

static int erofs_make(const struct erofs_job *job, struct err *err)
{
    char *epoch CLEANUP(mem_free) = str_printf("SOURCE_DATE_EPOCH=%lld", (long long)job->newest);
    char *path CLEANUP(mem_free) =
        str_printf("PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
    char *hints CLEANUP(mem_free) = str_printf("--compress-hints=%s", job->hints);
    const char *const env[] = {epoch, path, "LC_ALL=C", NULL};
    const char *argv[] = {
        "mkfs.erofs", "-d1",
        "--quiet",    "-x-1",
        "-U",         EROFS_UUID,
        "--all-root", job->out,
        job->stage,   job->large_ids ? "-Enoinline_data,force-inode-extended" : "-Enoinline_data",
        NULL,         NULL,
        NULL};
    bool lzma = job->compression == EROFS_COMPRESSION_LZMA;

    if (lzma || job->compression == EROFS_COMPRESSION_LZ4) {
        argv[9] = lzma ? "-zlzma" : "-zlz4hc";
        argv[10] = hints;
    }
    int failed = proc_check(&(struct proc){.argv = argv, .env = env}, err);
    if (failed && lzma && strstr(err->text, "lzma"))
        return err_set(err, ENOTSUP,
                       "this machine's mkfs.erofs was built without lzma; use --compress lz4");
    return failed;
}

static int erofs_pad(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) < 0 || truncate(path, ALIGN_UP(st.st_size, EROFS_BLOCK)) < 0)
        return err_errno(err, errno, "%s", path);
    return 0;
}

int erofs_write(struct tree *tree, enum erofs_compression compression, const char *scratch,
                const char *out, struct err *err)
{
    char *stage CLEANUP(mem_free) = fs_join(scratch, "root");
    char *hints CLEANUP(mem_free) = fs_join(scratch, "hints");
    const struct erofs_job job = {
        stage, out, hints, stage_newest(tree), stage_has_large_ids(tree), compression};

    int failed = tree_write(tree, stage, err);
    if (!failed)
        failed = erofs_write_hints(hints, err);
    if (!failed)
        failed = erofs_make(&job, err);
    if (!failed)
        failed = erofs_set_owners(tree, out, err);
    fs_remove_tree(stage); /* its room is needed; what stays goes with the scratch folder */
    return failed ? erofs_explain(scratch, err) : erofs_pad(out, err);
}
