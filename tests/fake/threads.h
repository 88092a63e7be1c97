/* A machine for sched: one CPU, a clock that moves when asked or when all sleep, program memory
 * that is the host's, threads that are coroutines.  Program code is a C function. */
#pragma once

#include "lib/types.h"

struct process;
struct thread;

/** Start the machine: the test becomes the boot thread, current in a process of its own (pid 1). */
void machine_start(void);
/** A new thread of that process which runs @fn and ends. Started. */
struct thread *machine_thread(void (*fn)(void));
/** Let time pass, with its timers. */
void machine_advance(u64 ns);
/** Let the others run until all sleep or have ended. */
void machine_settle(void);
/** Make two addresses name one shared page, as two mappings of a file do. */
void machine_alias(const void *a, const void *b);
/** What the program's end was: vm_end's kind << 8 | value; the test goes on in the boot thread. */
extern int machine_ended;
/** Handlers the last program_exit_work ran: signal numbers in order. */
extern int machine_delivered[16], machine_nr_delivered;
