/* An archive of Java's, as jar.c reads it; what gzip would unpack is taken as it is. */
#include "fuzz/fuzz.h"

#include "image/elf_file.h"
#include "image/jar.h"
#include "lib/fs.h"
#include "lib/proc.h"

static const uint8_t *input;
static size_t input_len;

/* A copy of its exact size in place of a mapping, whose last page would have room. */
int elf_map(const char *path, struct elf_map *map, struct err *err)
{
    (void)path, (void)err;
    uint8_t *copy = malloc(input_len ? input_len : 1);
    if (!copy)
        abort();
    memcpy(copy, input, input_len);
    *map = (struct elf_map){.data = copy, .len = input_len};
    return 0;
}

void elf_unmap(struct elf_map *map)
{
    free((void *)(uintptr_t)map->data);
}

int proc_check(const struct proc *proc, struct err *err)
{
    struct buf bytes = {0};
    int failed = fs_read(proc->argv[2], proc->out_limit, &bytes, err);

    if (!failed)
        failed = fs_write(proc->out_path, bytes.data, bytes.len, 0600, err);
    buf_free(&bytes);
    return failed;
}

pid_t proc_current(void)
{
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strs words = {0};

    input = data;
    input_len = size;
    jar_class_path("a.jar", &words);
    for (size_t i = 0; i < words.len; i++)
        FUZZ_ASSERT(!strpbrk(words.at[i], " \n"));
    strs_free(&words);
    return 0;
}
