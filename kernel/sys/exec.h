/* From a path to a program that can run: the file formats, the address space, the first stack. */
#pragma once

#include "arch/frame.h"
#include "lib/types.h"
#include "sched/cred.h"

struct file;
struct mm;
struct process;
struct program;

/* Kernel copies of what main() gets.  argv[argc] and envp[envc] need not be NULL. */
struct exec_args {
    char **argv, **envp;
    u32 argc, envc;
    bool path_closes; /* its path is that of a descriptor which execve closes: no use to a script */
};

/* How a loaded program begins: its first registers, and whose it is. */
struct exec_start {
    struct trap_frame frame;
    struct creds creds;
};

/** Why a program cannot run, in words for the user: "'/bin/x': no such file or directory". */
struct exec_error {
    char text[320];
};

/** Open the program at @path: a regular file with an x bit. 0 and *@out, or as exec_load(). */
int exec_open(const char *path, struct file **out, struct exec_error *error);
/** The same of what is open already (a reference is taken on success). */
int exec_check(struct file *file, const char *path, struct exec_error *error);
/**
 * Load the program in @file (borrowed), which was opened as @path, into @mm, which is empty and the
 * one this CPU translates by.  Fills @start, and @program with what /proc shows.  @args is
 * borrowed; a #! script changes it for its interpreter only. Returns 0, or -ENOENT, -EACCES,
 * -ENOEXEC, -E2BIG, -ENOMEM, -EIO, -ELOOP with @error. Thread context; current->process is
 * @process.
 */
int exec_load(struct process *process, struct mm *mm, struct file *file, const char *path,
              const struct exec_args *args, struct program *program, struct exec_start *start,
              struct exec_error *error);
