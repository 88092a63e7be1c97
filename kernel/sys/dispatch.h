/* System-call dispatch: the tables made from table.def, and the answer for calls we do not have.
 * The entry code (arch) indexes syscall_table with RAX and leaves the arguments in registers. */
#pragma once

#include "lib/types.h"

struct trap_frame;

enum { SYSCALL_MAX = 451 };

/** Any handler: up to six register arguments; 0 or more, or a negative errno. */
typedef long syscall_fn(u64, u64, u64, u64, u64, u64);

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

extern syscall_fn *const syscall_table[SYSCALL_MAX];
extern const struct syscall_info syscall_info[SYSCALL_MAX];

/** What every missing call answers: -ENOSYS, and one log line the first time, by name. */
long sys_ni(void);
