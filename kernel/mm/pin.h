/* Memory of the program's that a device reads or writes by itself.  Its frames are nobody else's
 * while they are held, whatever becomes of the mapping: a reference each.  .spare of an anonymous
 * page counts these, for a page with no other owner besides is still its mapping's alone.  Who
 * forks while a device writes may find that the bytes went to the child: open(2) on O_DIRECT says
 * so. */
#pragma once

#include "mm/mm.h"

enum { MM_PINS = 33 }; /* 128 KiB in pages, anywhere in them */

/* Frames that follow each other, by their address in the direct map. */
struct mm_piece {
    u8 *at;
    u32 len;   /* bytes */
    bool huge; /* in a 2 MiB page, which is held once */
};
struct mm_pins {
    u32 nr;
    struct mm_piece pieces[MM_PINS];
};

/**
 * Hold memory of the running program from @addr on, at most @len bytes, and add it to @pins;
 * @write: the device will change it.  What is not there yet is faulted in.
 * Returns how many bytes from @addr on are held: fewer, or none, where .pieces is full, or for
 * memory that a device shall not have or that is none; copy then, which tells why.
 * Thread context; sleeps.
 */
u64 mm_pin(uaddr_t addr, u64 len, bool write, struct mm_pins *pins);
/** Let go of all. The thread is of the same process as the one that held them. */
void mm_unpin(struct mm_pins *pins);
