/* ingot-patch: the patch of one object, on standard output.  A program of its own because of the
 * disassembler, a library that a start of `ingot` would pay for; for the image builder, not for
 * people.
 *
 *     ingot-patch NAME FILE         exit status 0; 1: nothing to patch or no object;
 *                                   2: it cannot work here
 *     ingot-patch                   0 if it can work here
 *     ingot-patch --start IN OUT    our own command, when it is built: start.h
 */
#include "image/elf_file.h"
#include "image/patch/disasm.h"
#include "image/patch/patch.h"
#include "image/patch/start.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int patch_file(const char *name, const char *path, struct err *err)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    struct buf patch CLEANUP(buf_free) = {0};
    int failed = elf_map(path, &map, err);

    if (!failed)
        failed = patch_make(name, map.data, map.len, &patch, err);
    if (failed || !patch.len)
        return failed ? failed : -ENOEXEC;
    if (fwrite(patch.data, 1, patch.len, stdout) != patch.len || fflush(stdout) != 0)
        return err_errno(err, errno, "%s", name);
    return 0;
}

/* A command whose start cannot be changed is as good, and a fifth of a millisecond slower. */
static int patch_command(const char *from, const char *to, struct err *err)
{
    enum { COMMAND_MAX = 256 << 20 };
    struct buf file CLEANUP(buf_free) = {0};
    struct err why = {0};

    int failed = fs_read(from, COMMAND_MAX, &file, err);
    if (failed)
        return failed;
    if (patch_start((u8 *)file.data, file.len, &why))
        fprintf(stderr, "%s keeps the start it has: %s\n", from, why.text);
    return fs_write_atomic(to, file.data, file.len, 0755, err);
}

int main(int argc, char **argv)
{
    struct err err = {0};

    if (argc == 4 && strcmp(argv[1], "--start") == 0) {
        if (!patch_command(argv[2], argv[3], &err))
            return 0;
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int failed = disasm_open(&err);

    if (failed)
        fprintf(stderr, "%s\n", err.text);
    if (failed || argc < 2)
        return failed ? 2 : 0;
    return argc != 3 || patch_file(argv[1], argv[2], &err) ? 1 : 0;
}
