/* Where gdb finds the symbols of an instance's first program: the files that it has mapped, from
 * the image, at the places that the guest says. */
#include "cli/debug.h"

#include "image/elf_file.h"
#include "image/erofs_read.h"
#include "image/image.h"
#include "instance/guest.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 2000, MAX_FILES = 200 };

/* What the image has under @path: the topmost layer counts. */
static bool read_file(const struct image *image, const char *path, struct buf *bytes)
{
    for (size_t i = image->layers.len; i-- > 0;)
        if (erofs_read_layer(image->layers.at[i], path, bytes))
            return true;
    return false;
}

/* The file @path, whose first byte is mapped at @base, for gdb: a copy in @folder. */
static void add_file(struct strs *argv, const struct image *image, const char *folder,
                     const char *path, u64 base)
{
    struct buf bytes CLEANUP(buf_free) = {0};
    struct elf_file elf CLEANUP(elf_file_free) = {0};

    if (!read_file(image, path, &bytes) ||
        elf_parse((const u8 *)bytes.data, bytes.len, &elf, NULL) < 0)
        return;
    char *copy CLEANUP(mem_free) =
        str_printf("%s/%llx-%s", folder, (unsigned long long)base, fs_name(path));
    if (strpbrk(copy, " \t\"\\'") || fs_write(copy, bytes.data, bytes.len, 0644, NULL) < 0)
        return;
    strs_add(argv, "-ex");
    strs_take(argv, str_printf("add-symbol-file %s -o 0x%llx", copy,
                               elf.kind == ELF_EXEC ? 0ull : (unsigned long long)base));
}

/* "7f0000000000-7f0000021000 r--p 00000000 00:00 7   /lib/x.so": its start and its path, if it is
 * the beginning of a file. */
static const char *begins_file(const char *line, u64 *base)
{
    unsigned long long start, offset;
    int at = 0;

    if (sscanf(line, "%llx-%*x %*4s %llx %*s %*s %n", &start, &offset, &at) != 2 || !at || offset ||
        line[at] != '/')
        return NULL;
    *base = start;
    return line + at;
}

void debug_add_program(struct strs *argv, const struct instance *instance,
                       const struct image *image, const char *folder)
{
    struct buf maps CLEANUP(buf_free) = {0};
    struct strs seen CLEANUP(strs_free) = {0};
    struct err ignored;
    u64 base;

    if (guest_ask(instance, "cat /proc/1/maps", PATIENCE_MS, &maps, &ignored) < 0)
        return;
    char *rest = maps.data;
    for (char *line; rest && (line = strsep(&rest, "\n")) && seen.len < MAX_FILES;) {
        const char *path = begins_file(line, &base);
        if (!path || strs_has(&seen, path))
            continue;
        strs_add(&seen, path);
        add_file(argv, image, folder, path, base);
    }
}
