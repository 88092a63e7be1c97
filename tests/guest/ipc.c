/* System V shared memory: keys, rights, who is attached, and when it goes. */
#define _GNU_SOURCE
#include "t.h"

#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

static unsigned long attached(int id)
{
    struct shmid_ds ds;
    return shmctl(id, IPC_STAT, &ds) ? 999 : ds.shm_nattch;
}

CASE(a_segment_is_the_same_memory_wherever_it_is_attached)
{
    struct shmid_ds ds;
    int id = shmget(IPC_PRIVATE, 10000, 0600);
    NEED(id >= 0);
    CHECK_EQ(attached(id), 0);
    char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
    NEED(a != (void *)-1 && b != (void *)-1);
    CHECK_EQ(attached(id), 2);
    strcpy(a + 9000, "hello");
    CHECK(!strcmp(b + 9000, "hello") && a[0] == 0);
    CHECK_ERR(mprotect(b, 4096, PROT_READ | PROT_WRITE), EACCES);
    NEED(!shmctl(id, IPC_STAT, &ds));
    CHECK(ds.shm_segsz == 10000 && ds.shm_cpid == getpid() && (ds.shm_perm.mode & 0777) == 0600);
    CHECK_EQ(shmdt(a), 0);
    CHECK_EQ(attached(id), 1);
    CHECK_ERR(shmdt(a), EINVAL);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK(!strcmp(b + 9000, "hello")); /* it stays for who has it */
    NEED(!shmctl(id, IPC_STAT, &ds));
    CHECK(ds.shm_perm.mode & SHM_DEST);
    CHECK_EQ(shmdt(b), 0);
    CHECK_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
}

CASE(keys_find_segments)
{
    key_t key = 0x1234567 + getpid();
    CHECK_ERR(shmget(key, 4096, 0600), ENOENT);
    int id = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600);
    NEED(id >= 0);
    CHECK_ERR(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(shmget(key, 0, 0), id);
    CHECK_EQ(shmget(key, 4096, IPC_CREAT | 0600), id);
    CHECK_ERR(shmget(key, 8192, 0), EINVAL);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(shmget(key, 4096, 0), ENOENT);
    CHECK_ERR(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
    CHECK_ERR(shmat(id, NULL, 0), EINVAL);
    CHECK_ERR(shmctl(-1, IPC_RMID, NULL), EINVAL);
}

CASE(a_place_may_be_asked_for)
{
    int id = shmget(IPC_PRIVATE, 8192, 0600);
    char *room = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(id >= 0 && room != MAP_FAILED);
    CHECK_ERR((long)shmat(id, room + 1, 0), EINVAL);
    CHECK_ERR((long)shmat(id, room, 0), EINVAL); /* something is there */
    CHECK(shmat(id, room + 4097, SHM_RND | SHM_REMAP) == room + 4096);
    room[4096] = 1;
    munmap(room, 4096);
    munmap(room + 12288, 65536 - 12288);
    CHECK_ERR(shmdt(room), EINVAL);
    CHECK_EQ(munmap(room + 4096, 4096), 0); /* the first half goes */
    CHECK_EQ(attached(id), 1);
    CHECK_EQ(shmdt(room + 4096), 0); /* and what is left, by the same name */
    CHECK_EQ(attached(id), 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

CASE(who_may_use_a_segment)
{
    struct shmid_ds ds;
    int id = shmget(IPC_PRIVATE, 4096, 0640);
    NEED(id >= 0);
    if (!geteuid()) {
        NEED(!seteuid(4242));
        char *p = shmat(id, NULL, SHM_RDONLY);
        CHECK(p != (void *)-1);
        shmdt(p);
        CHECK_ERR((long)shmat(id, NULL, 0), EACCES);
        CHECK_ERR(shmctl(id, IPC_RMID, NULL), EPERM);
        NEED(!seteuid(0));
        NEED(!shmctl(id, IPC_STAT, &ds));
        ds.shm_perm.uid = 4242;
        ds.shm_perm.mode = 0600;
        CHECK_EQ(shmctl(id, IPC_SET, &ds), 0);
        NEED(!seteuid(4242));
        p = shmat(id, NULL, 0);
        CHECK(p != (void *)-1);
        shmdt(p);
        CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
        NEED(!seteuid(0));
    } else {
        CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    }
}
