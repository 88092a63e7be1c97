/* /proc/sysvipc: proc(5), as ipcs(1) reads it.  The objects belong to the system calls, which hand
 * in how to list them with the first one that is made. */
#include "fs/proc.h"

static struct {
    proc_lister *shm, *sem, *msg; /* [A] NULL: there was never one */
} listers;

void proc_set_sysvipc(proc_lister *shm, proc_lister *sem, proc_lister *msg)
{
    __atomic_store_n(&listers.shm, shm, __ATOMIC_RELAXED);
    __atomic_store_n(&listers.sem, sem, __ATOMIC_RELAXED);
    __atomic_store_n(&listers.msg, msg, __ATOMIC_RELAXED);
}

static int list(struct text *out, const char *head, proc_lister *const *lister)
{
    proc_lister *fn = __atomic_load_n(lister, __ATOMIC_RELAXED);

    text_add(out, "%s\n", head);
    if (fn)
        fn(out);
    return 0;
}

static int show_shm(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    return list(
        out,
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  "
        "cuid  cgid      atime      dtime      ctime                   rss                  "
        "swap",
        &listers.shm);
}

static int show_sem(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    return list(out,
                "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      "
                "ctime",
                &listers.sem);
}

static int show_msg(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    return list(out,
                "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  "
                "cgid      stime      rtime      ctime",
                &listers.msg);
}

const struct pseudo_node proc_sysvipc_nodes[PROC_SYSVIPC_NODES] = {
    PSEUDO_FILE("shm", show_shm),
    PSEUDO_FILE("sem", show_sem),
    PSEUDO_FILE("msg", show_msg),
};
