/* What the files of the program loader share. */
#pragma once

#include "mm/mm.h"
#include "sys/elf.h"
#include "sys/exec.h"

/* One ELF file in memory. */
struct elf_loaded {
    u64 bias;  /* added to the file's addresses */
    u64 entry; /* where it starts */
    u64 phdr;  /* its program headers, 0: not in memory */
    u64 end;   /* page-aligned end of the last segment */
};

/** Say why; returns @err. */
int exec_fail(struct exec_error *error, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Read and check the headers of @file. @path is for messages. 0 or as exec_load(). */
int elf_read(struct file *file, const char *path, struct elf_image *image,
             struct exec_error *error);
/** Map the segments, at a random place unless the file is fixed. 0, -ENOMEM, -EIO, -EFAULT. */
int elf_map(struct mm *mm, struct file *file, const struct elf_image *image, u64 base,
            struct elf_loaded *out);

/* What the first stack holds. */
struct exec_stack {
    u64 top;            /* in: the end of the stack's area */
    const char *execfn; /* in */
    const u64 *auxv;    /* in: pairs without the ones below and without AT_NULL */
    u32 nr_auxv;        /* in: words */
    u64 sp;             /* out: argc is here */
    u64 arg_start, arg_end, env_start, env_end; /* out */
    u64 *full_auxv; /* out: all words, AT_NULL too; room for nr_auxv + 10 */
    u32 nr_full;    /* out: words */
};
/** Build it; the area is mapped. 0, -E2BIG or -EFAULT (no memory). */
int exec_build_stack(const struct exec_args *args, struct exec_stack *stack);
