/* System-call dispatch: the tables made from table.def, and the answer for calls we do not have.
 * The entry code (arch) indexes syscall_active with RAX and leaves the arguments in registers. */
#pragma once

#include "arch/hooks.h"
#include "lib/types.h"

enum { SYSCALL_MAX = 451 };
static_assert(SYSCALL_MAX < SYSCALL_SLOTS, "the last slot answers for all greater numbers");

/** How --trace prints an argument; one for each kind of table.def. */
enum syscall_arg {
    ARG_FD,
    ARG_INT,
    ARG_SIG,
    ARG_CLOCK,
    ARG_UINT,
    ARG_OFLAGS,
    ARG_MAPFLAGS,
    ARG_PROT,
    ARG_MODE,
    ARG_LONG,
    ARG_OFF,
    ARG_ULONG,
    ARG_SIZE,
    ARG_ADDR,
    ARG_STR,
    ARG_PATH
};

struct syscall_info {
    const char *name; /* NULL: no such number */
    u8 nr_args;
    u8 args[6]; /* enum syscall_arg */
};

/** By number; see table.def. */
extern const struct syscall_info syscall_info[SYSCALL_MAX];

/** What every missing call answers: -ENOSYS, and one log line the first time, by name. */
long sys_ni(void);

/** The handlers behind syscall_active: syscall_table, or those of a sealed image. */
extern const syscall_fn *syscall_handlers;

/**
 * Refuse from now on every call that the image does not contain, by its /.ingot/calls: -ENOSYS, one
 * log line the first time, by name.  Ends the VM with an error if the image does not tell.
 */
void seal_calls(void);

/** Print every call to the log from now on (`ingot.trace=1`), or no more. */
void trace_enable(bool on);

/**
 * The text of one call for the trace: `openat(AT_FDCWD, "/etc/x", O_RDONLY)`.
 * @args: six registers. @read_str copies a string of the program's as strncpy_from_user does.
 * Returns the length the text has; at most @size - 1 characters are written.
 */
int trace_format_call(char *buf, size_t size, u64 nr, const u64 args[6],
                      ssize_t (*read_str)(char *dst, u64 src, size_t size));
/** The result: ` = 3`, ` = -1 ENOENT`, ` = 0x7f..`. */
int trace_format_result(char *buf, size_t size, u64 nr, long result);
