/* Sealing: an image whose builder has listed the system calls in it makes no others.  A refused
 * call answers ENOSYS, as an older kernel would, so that libraries take their other way. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/patch.h"
#include "arch/frame.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/percpu.h"
#include "sys/dispatch.h"
#include "vfs/file.h"
#include "vfs/path.h"

static const char path[] = "/.ingot/calls";

enum {
    NR_RT_SIGRETURN = 15,
    NR_EXIT = 60,
    NR_RESTART = 219,
    NR_EXIT_GROUP = 231,
    SAY_AGAIN = 1024
};

static u32 refused[PATCH_CALLS]; /* [A] how often, by number */

static long refuse(void)
{
    u64 nr = min(current_frame()->orig_rax, (u64)PATCH_CALLS - 1);
    const char *name = nr < SYSCALL_MAX ? syscall_info[nr].name : NULL;
    u32 times = __atomic_add_fetch(&refused[nr], 1, __ATOMIC_RELAXED);

    if (times == 1)
        log_warn("system call '%s' (%lu) is refused: it is not in this sealed image",
                 name ? name : "?", (unsigned long)nr);
    else if (times >= SAY_AGAIN && !(times & (times - 1)))
        log_warn("system call '%s' (%lu) was refused %u times", name ? name : "?",
                 (unsigned long)nr, times);
    return -ENOSYS;
}

static void read_set(struct call_set *set)
{
    struct file *file;

    if (vfs_open(path, O_RDONLY, 0, &file))
        fatal_error("cannot seal: the image has no %s; build it with patches", path);
    ssize_t n = file_read_kernel(file, set, sizeof(*set), 0);
    file_put(file);
    if (n != sizeof(*set) || set->magic != CALL_SET_MAGIC || set->version != CALL_SET_VERSION)
        fatal_error("cannot seal: %s is damaged, or of another version", path);
}

static void allow(struct call_set *set, u32 nr)
{
    set->calls[nr / 64] |= BIT(nr % 64);
}

void seal_calls(void)
{
    static syscall_fn sealed_table[SYSCALL_SLOTS];
    struct call_set set;

    read_set(&set);
    /* Unwinders know the first by its bytes and the kernel makes the second; a program must end. */
    allow(&set, NR_RT_SIGRETURN);
    allow(&set, NR_RESTART);
    allow(&set, NR_EXIT);
    allow(&set, NR_EXIT_GROUP);
    for (u32 nr = 0; nr < SYSCALL_SLOTS; nr++)
        sealed_table[nr] = nr < PATCH_CALLS && (set.calls[nr / 64] & BIT(nr % 64))
                               ? syscall_table[nr]
                               : (syscall_fn)(void (*)(void))refuse;
    if (syscall_active == syscall_handlers)
        syscall_active = sealed_table;
    syscall_handlers = sealed_table;
}
