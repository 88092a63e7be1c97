/* Start-up, in this order (core/main.c).  Each room declares its init here and calls are added
 * there. All run in the boot context; from sched_init on it is a thread. */
#pragma once

#include "lib/types.h"

/** Called by the platform with a stack, page tables and GS base set up; does not return. */
_Noreturn void kernel_main(void);

void mm_init(
    void); /* page allocator, heap, kernel mappings; ends in fatal_error if RAM is too small */
void sched_init(void);              /* the boot context becomes a thread; idle thread, run queue */
void time_init(void);               /* core: clocks and timers */
void vfs_init(void);                /* caches, mount tables */
void drv_init(void);                /* devices found by the platform */
void net_start(void);               /* interfaces start when they are used, or soon */
bool net_is_started(void);          /* they have */
void fs_init(void);                 /* file system types; mounts the root */
void smp_init(void);                /* sched: the other CPUs start, and go on by themselves */
_Noreturn void cpu_main(void);      /* sched: what such a CPU runs, from its platform */
_Noreturn void start_program(void); /* kernel/sys: load the program and become it; or fatal_error */
