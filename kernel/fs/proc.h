/* /proc: proc(5), and the parts it is made of. */
#pragma once

#include "fs/pseudo.h"

struct process;
struct thread;

/** Make the file system "proc" known. At start. */
void procfs_register(void);

/* The makers of text, each for one file. */

/** /proc/cpuinfo. 0, or -ENOMEM. */
int proc_show_cpuinfo(struct text *out, const struct pseudo_ref *ref);
int proc_show_lock_stat(struct text *out, const struct pseudo_ref *ref); /* debug kernel only */
int proc_show_diskstats(struct text *out, const struct pseudo_ref *ref);
int proc_show_partitions(struct text *out, const struct pseudo_ref *ref);
int proc_show_meminfo(struct text *out, const struct pseudo_ref *ref);
int proc_show_stat(struct text *out, const struct pseudo_ref *ref);
int proc_show_vmstat(struct text *out, const struct pseudo_ref *ref);
int proc_show_maps(struct text *out, const struct pseudo_ref *ref);
int proc_show_smaps_rollup(struct text *out, const struct pseudo_ref *ref);
int proc_show_pid_stat(struct text *out, const struct pseudo_ref *ref);
int proc_show_tid_stat(struct text *out, const struct pseudo_ref *ref);
int proc_show_pid_statm(struct text *out, const struct pseudo_ref *ref);
int proc_show_pid_status(struct text *out, const struct pseudo_ref *ref);
int proc_show_mounts(struct text *out, const struct pseudo_ref *ref);
int proc_show_mountinfo(struct text *out, const struct pseudo_ref *ref);

/** The thread @tid, or where that was the first of @process and has ended before others, one of
 * those.  With a reference; NULL: it has ended, or all of them have. */
struct thread *proc_thread_of(struct process *process, int tid);
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
