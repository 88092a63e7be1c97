/* System V inter-process communication of the Linux ABI: shmctl(2), semctl(2), msgctl(2). */
#pragma once

#include "lib/types.h"

enum linux_ipc {
    IPC_PRIVATE = 0,
    IPC_CREAT = 01000,
    IPC_EXCL = 02000,
    IPC_NOWAIT = 04000,

    IPC_RMID = 0,
    IPC_SET = 1,
    IPC_STAT = 2,
    IPC_INFO = 3,
    SHM_LOCK = 11,
    SHM_UNLOCK = 12,
    SHM_STAT = 13,
    SHM_INFO = 14,
    SHM_STAT_ANY = 15,

    SHM_RDONLY = 010000, /* shmat(2) */
    SHM_RND = 020000,
    SHM_REMAP = 040000,
    SHM_EXEC = 0100000,

    SEM_UNDO = 010000, /* semop(2) */
    GETPID = 11,       /* semctl(2) */
    GETVAL = 12,
    GETALL = 13,
    GETNCNT = 14,
    GETZCNT = 15,
    SETVAL = 16,
    SETALL = 17,
    SEM_STAT = 18,
    SEM_INFO = 19,
    SEM_STAT_ANY = 20,

    MSG_NOERROR = 010000, /* msgrcv(2) */
    MSG_EXCEPT = 020000,
    MSG_COPY = 040000,
    MSG_STAT = 11, /* msgctl(2) */
    MSG_INFO = 12,
    MSG_STAT_ANY = 13,

    SHM_DEST = 01000, /* of the mode that IPC_STAT shows */
    SHM_HUGETLB = 04000,
    SHM_NORESERVE = 010000,
};

struct linux_ipc_perm {
    s32 key;
    u32 uid, gid, cuid, cgid;
    u32 mode;
    u16 seq, pad2;
    u32 pad3;
    u64 unused[2];
};
static_assert(sizeof(struct linux_ipc_perm) == 48, "asm-generic/ipcbuf.h");

struct linux_shmid_ds {
    struct linux_ipc_perm perm;
    u64 segsz;
    s64 atime, dtime, ctime;
    s32 cpid, lpid;
    u64 nattch;
    u64 unused[2];
};
static_assert(sizeof(struct linux_shmid_ds) == 112, "asm-generic/shmbuf.h");

struct linux_shminfo {
    u64 shmmax, shmmin, shmmni, shmseg, shmall;
    u64 unused[4];
};
struct linux_shm_info {
    s32 used_ids;
    u64 shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes;
};
static_assert(sizeof(struct linux_shm_info) == 48, "uapi/linux/shm.h");

struct linux_sembuf {
    u16 num;
    s16 op;
    s16 flags;
};
static_assert(sizeof(struct linux_sembuf) == 6, "uapi/linux/sem.h");

struct linux_semid_ds {
    struct linux_ipc_perm perm;
    s64 otime;
    u64 unused1;
    s64 ctime;
    u64 unused2;
    u64 nsems;
    u64 unused3[2];
};
static_assert(sizeof(struct linux_semid_ds) == 104, "asm/sembuf.h");

struct linux_seminfo {
    s32 semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem;
};

struct linux_msqid_ds {
    struct linux_ipc_perm perm;
    s64 stime, rtime, ctime;
    u64 cbytes, qnum, qbytes;
    s32 lspid, lrpid;
    u64 unused[2];
};
static_assert(sizeof(struct linux_msqid_ds) == 120, "asm-generic/msgbuf.h");

struct linux_msginfo {
    s32 msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql;
    u16 msgseg;
};
static_assert(sizeof(struct linux_msginfo) == 32, "uapi/linux/msg.h");
