/* /proc: proc(5), and the parts it is made of. */
#pragma once

#include "fs/pseudo.h"

struct process;
struct thread;
struct vma;

/** Make the file system "proc" known. At start. */
void procfs_register(void);

/* The makers of text, each for one file. */

/** /proc/cpuinfo. 0, or -ENOMEM. */
int proc_show_cpuinfo(struct text *out, const struct pseudo_ref *ref);
int proc_show_lock_stat(struct text *out, const struct pseudo_ref *ref); /* debug kernel only */
int proc_show_locks(struct text *out, const struct pseudo_ref *ref);
int proc_show_diskstats(struct text *out, const struct pseudo_ref *ref);
int proc_show_partitions(struct text *out, const struct pseudo_ref *ref);
int proc_show_meminfo(struct text *out, const struct pseudo_ref *ref);
int proc_show_stat(struct text *out, const struct pseudo_ref *ref);
int proc_show_schedstat(struct text *out, const struct pseudo_ref *ref);
int proc_show_slabinfo(struct text *out, const struct pseudo_ref *ref);
int proc_show_buddyinfo(struct text *out, const struct pseudo_ref *ref);
int proc_show_vmstat(struct text *out, const struct pseudo_ref *ref);
int proc_show_maps(struct text *out, const struct pseudo_ref *ref);
int proc_show_smaps(struct text *out, const struct pseudo_ref *ref);
int proc_show_smaps_rollup(struct text *out, const struct pseudo_ref *ref);
int proc_show_numa_maps(struct text *out, const struct pseudo_ref *ref);
int proc_show_pid_stat(struct text *out, const struct pseudo_ref *ref);
int proc_show_pid_statm(struct text *out, const struct pseudo_ref *ref);
int proc_show_pid_status(struct text *out, const struct pseudo_ref *ref);
int proc_show_mounts(struct text *out, const struct pseudo_ref *ref);
int proc_show_mountinfo(struct text *out, const struct pseudo_ref *ref);
int proc_show_mountstats(struct text *out, const struct pseudo_ref *ref);

/** The line of @vma in maps.  From within proc_for_each_area(). */
void proc_add_area(struct text *out, struct vma *vma);
/** What it is a mapping of, "" (and false) where it has no name.  Likewise. */
enum { PROC_NAME_BYTES = 512 };
bool proc_area_name(struct vma *vma, char name[PROC_NAME_BYTES], u64 *dev, u64 *ino);
/** mm_for_each_vma() of process @pid. 0, also where it has ended, or -ESRCH. */
int proc_for_each_area(int pid, int (*fn)(struct vma *vma, void *arg), void *arg);

/** The thread @tid, or where that was the first of @process and has ended before others, one of
 * those.  With a reference; NULL: it has ended, or all of them have. */
struct thread *proc_thread_of(struct process *process, int tid);
/** The process whose /proc/PID @inode is, 0: none's. */
int proc_pid_of_folder(const struct inode *inode);
/** Is it of /proc/PID/task/TID and not of /proc/PID?  Not for what is a directory of numbers there.
 */
static inline bool proc_of_thread(const struct pseudo_ref *ref)
{
    return ref->number;
}
/** /proc/PID, and the two ways to find one. */
extern const struct pseudo_node proc_pid_dir;
int proc_find_pid(const struct pseudo_ref *dir, const char *name, size_t len,
                  struct pseudo_ref *child);
bool proc_next_pid(const struct pseudo_ref *dir, int after, struct pseudo_ref *child,
                   char name[32]);

/** What is in /proc/PID/fd and fdinfo. */
int proc_find_fd(const struct pseudo_ref *dir, const char *name, size_t len,
                 struct pseudo_ref *child);
bool proc_next_fd(const struct pseudo_ref *dir, int after, struct pseudo_ref *child, char name[32]);
int proc_find_fdinfo(const struct pseudo_ref *dir, const char *name, size_t len,
                     struct pseudo_ref *child);
bool proc_next_fdinfo(const struct pseudo_ref *dir, int after, struct pseudo_ref *child,
                      char name[32]);

/** What is in /proc/sys. */
enum { PROC_SYS_NODES = 4 };
extern const struct pseudo_node proc_sys_nodes[PROC_SYS_NODES];

/** What is in /proc/sysvipc, and who adds the lines of what there is. Callable from any thread. */
enum { PROC_SYSVIPC_NODES = 3 };
extern const struct pseudo_node proc_sysvipc_nodes[PROC_SYSVIPC_NODES];
typedef void proc_lister(struct text *out);
void proc_set_sysvipc(proc_lister *shm, proc_lister *sem, proc_lister *msg);

/** @text as a number without sign or leading zeros, or -1. */
int proc_number(const char *text, size_t len);
