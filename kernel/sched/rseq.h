/* Restartable sequences, rseq(2): a thread reads the number of its CPU in its own memory, and a
 * critical section of its code that another thread on that CPU, a signal or a move to another CPU
 * has interrupted does not end but goes on at its abort address.
 *
 * WORK_RSEQ says that the memory must be looked at before the program goes on.  The scheduler sets
 * it where a thread moves, and where one leaves its CPU out of anything but a system call, in which
 * no section may be. */
#pragma once

#include "mm/mm.h"

struct thread;
struct trap_frame;

/** Register @addr with @sig, the word before abort addresses, or unregister.  0, -EINVAL, -EPERM,
 * -EBUSY or -EFAULT, as Linux. */
int rseq_register(uaddr_t addr, u32 len, int flags, u32 sig);
/** A process's first thread has its memory from @from: the registration is in it too. */
void rseq_inherit(struct thread *thread, const struct thread *from);
/** WORK_RSEQ, and before a handler's frame is made: what cannot be read or is nonsense is SIGSEGV.
 */
void rseq_update(struct trap_frame *frame);
