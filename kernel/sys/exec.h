/* From a path to a program that can run: the file formats, the address space, the first stack. */
#pragma once

#include "lib/types.h"

struct file;
struct mm;
struct process;
struct trap_frame;

/* Kernel copies of what main() gets.  argv[argc] and envp[envc] need not be NULL. */
struct exec_args {
    char **argv, **envp;
    u32 argc, envc;
};

/** Why a program cannot run, in words for the user: "'/bin/x': no such file or directory". */
struct exec_error {
    char text[320];
};

/**
 * Load the program at @path into @mm, which is empty and the one this CPU translates by, and fill
 * @frame with its first registers and the fields of @process that /proc shows (exe, cmdline, auxv,
 * arg_start ...).  @args is borrowed; a #! script changes it for its interpreter only.
 * Returns 0, or -ENOENT, -EACCES, -ENOEXEC, -E2BIG, -ENOMEM, -EIO, -ELOOP with @error.
 * Thread context; current->process is @process.
 */
int exec_load(struct process *process, struct mm *mm, const char *path,
              const struct exec_args *args, struct trap_frame *frame, struct exec_error *error);
