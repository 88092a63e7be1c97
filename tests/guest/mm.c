/* Memory: mappings of every kind, their splitting and merging, faults and what they tell. */
#define _GNU_SOURCE
#include "t.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { PAGE = 4096 };

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static sigjmp_buf fault_jump;
static volatile int fault_signal, fault_code;
static void *volatile fault_addr;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    fault_signal = sig;
    fault_code = info->si_code;
    fault_addr = info->si_addr;
    siglongjmp(fault_jump, 1);
}

static void catch_faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
}

/* The signal that a read (or a write) at the address raises, 0 for none. */
static int fault_of(volatile char *at, bool write)
{
    catch_faults();
    fault_signal = 0;
    if (sigsetjmp(fault_jump, 1) == 0) {
        if (write)
            *at = 1;
        else
            (void)*at;
    }
    return fault_signal;
}

static char *map(size_t pages)
{
    return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* First of all: a guest in a process lets clean pages of files go when it rests for the first time.
 */
CASE(what_was_written_outlives_a_rest)
{
    enum { PAGES = 8 };
    const struct timespec rest = {.tv_nsec = 300000000};
    int fd = open("/proc/self/exe", O_RDONLY);
    char before[PAGES];

    NEED(fd >= 0);
    char *p = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    char *q = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    NEED(p != MAP_FAILED && q != MAP_FAILED);
    for (int i = 0; i < PAGES; i++)
        before[i] = p[i * PAGE];
    for (int i = 1; i < PAGES; i += 2) { /* between pages that nobody has written */
        static const int after[] = {PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE,
                                    PROT_READ | PROT_EXEC};
        CHECK_EQ(mprotect(p + i * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
        p[i * PAGE] ^= 0x55;
        CHECK_EQ(mprotect(p + i * PAGE, PAGE, after[i / 2]), 0);
    }
    for (int i = 0; i < PAGES; i++)
        q[i * PAGE] ^= 0x55;
    CHECK_EQ(mprotect(q, PAGES * PAGE, PROT_READ), 0);
    nanosleep(&rest, NULL);
    CHECK_EQ(mprotect(p, PAGES * PAGE, PROT_READ), 0);
    for (int i = 0; i < PAGES; i++) {
        CHECK_EQ(p[i * PAGE], (char)(i % 2 ? before[i] ^ 0x55 : before[i]));
        CHECK_EQ(q[i * PAGE], (char)(before[i] ^ 0x55));
    }
    munmap(p, PAGES * PAGE);
    munmap(q, PAGES * PAGE);
    close(fd);
}

CASE(anonymous_memory_is_zero_and_writable)
{
    char *p = map(64);
    NEED(p != MAP_FAILED);
    CHECK_EQ((uintptr_t)p % PAGE, 0);
    for (int i = 0; i < 64 * PAGE; i += 511)
        NEED(p[i] == 0);
    memset(p, 7, 64 * PAGE);
    CHECK_EQ(p[63 * PAGE], 7);
    CHECK_EQ(munmap(p, 64 * PAGE), 0);
    CHECK_EQ(fault_of(p, false), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_MAPERR);
    CHECK(fault_addr == p);
}

CASE(mmap_refuses_bad_arguments)
{
    int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
    CHECK_ERR(mmap(NULL, 0, rw, anon, -1, 0), EINVAL);
    CHECK_ERR(mmap(NULL, PAGE, rw, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR(mmap(NULL, PAGE, rw, MAP_PRIVATE, -1, 0), EBADF);
    CHECK_ERR(syscall(SYS_mmap, NULL, PAGE, rw, anon, -1, 1), EINVAL);
    CHECK_ERR(mmap(NULL, SIZE_MAX - PAGE, rw, anon, -1, 0), ENOMEM);
    CHECK_ERR(mmap(NULL, 1UL << 60, rw, anon, -1, 0), ENOMEM);
    CHECK_ERR(mmap((void *)1, PAGE, rw, anon | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERR(mmap((void *)(1UL << 63), PAGE, rw, anon | MAP_FIXED, -1, 0), ENOMEM);
    CHECK_ERR(munmap((void *)1, PAGE), EINVAL);
    CHECK_ERR(munmap((void *)PAGE, 0), EINVAL);
    CHECK_ERR(munmap((void *)PAGE, SIZE_MAX), EINVAL);
    CHECK_EQ(munmap((void *)0x10000000000, 16 * PAGE), 0);
    CHECK_ERR(mprotect((void *)1, PAGE, rw), EINVAL);
    CHECK_ERR(mprotect((void *)0x10000000000, PAGE, rw), ENOMEM);
    CHECK_ERR(mprotect((void *)0x10000000000, PAGE, 0x1234560), EINVAL);
}

CASE(protection_is_kept_by_the_page)
{
    char *p = map(4);
    NEED(p != MAP_FAILED);
    memset(p, 1, 4 * PAGE);
    CHECK_EQ(mprotect(p + PAGE, PAGE, PROT_READ), 0);
    CHECK_EQ(mprotect(p + 2 * PAGE, PAGE, PROT_NONE), 0);
    CHECK_EQ(fault_of(p + PAGE, false), 0);
    CHECK_EQ(fault_of(p + PAGE + 5, true), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_ACCERR);
    CHECK(fault_addr == p + PAGE + 5);
    CHECK_EQ(fault_of(p + 2 * PAGE, false), SIGSEGV);
    CHECK_EQ(fault_of(p, true) + fault_of(p + 3 * PAGE, true), 0);
    CHECK_EQ(mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE), 0);
    CHECK_EQ(fault_of(p + 2 * PAGE, true), 0);
    CHECK_EQ(p[2 * PAGE + 1], 1);
    munmap(p, 4 * PAGE);
}

CASE(prot_none_first_then_used)
{
    char *p = mmap(NULL, 1 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    NEED(p != MAP_FAILED);
    CHECK_EQ(fault_of(p + 12345, true), SIGSEGV);
    CHECK_EQ(mprotect(p + 16 * PAGE, 16 * PAGE, PROT_READ | PROT_WRITE), 0);
    CHECK_EQ(fault_of(p + 16 * PAGE, true), 0);
    CHECK_EQ(fault_of(p + 32 * PAGE, true), SIGSEGV);
    CHECK_EQ(munmap(p, 1 << 30), 0);
}

CASE(munmap_splits)
{
    char *p = map(9);
    NEED(p != MAP_FAILED);
    for (int i = 0; i < 9; i++)
        p[i * PAGE] = (char)i;
    CHECK_EQ(munmap(p + 4 * PAGE, PAGE), 0);
    CHECK_EQ(munmap(p, PAGE), 0);
    CHECK_EQ(munmap(p + 8 * PAGE, PAGE), 0);
    for (int i = 0; i < 9; i++) {
        bool hole = i == 0 || i == 4 || i == 8;
        CHECK_EQ(fault_of(p + i * PAGE, false), hole ? SIGSEGV : 0);
        CHECK(hole || p[i * PAGE] == i);
    }
    CHECK_EQ(munmap(p, 9 * PAGE), 0);
    CHECK_EQ(fault_of(p + 2 * PAGE, false), SIGSEGV);
}

CASE(map_fixed_replaces_and_noreplace_does_not)
{
    int anon = MAP_PRIVATE | MAP_ANONYMOUS;
    char *p = map(3);
    NEED(p != MAP_FAILED);
    memset(p, 9, 3 * PAGE);
    CHECK_ERR(mmap(p + PAGE, PAGE, PROT_READ, anon | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK(mmap(p + PAGE, PAGE, PROT_READ, anon | MAP_FIXED, -1, 0) == p + PAGE);
    CHECK(p[PAGE] == 0 && p[0] == 9 && p[2 * PAGE] == 9);
    CHECK_EQ(fault_of(p + PAGE, true), SIGSEGV);
    munmap(p + PAGE, PAGE);
    CHECK(mmap(p + PAGE, PAGE, PROT_READ, anon | MAP_FIXED_NOREPLACE, -1, 0) == p + PAGE);
    munmap(p, 3 * PAGE);
    /* A hint that is free is taken. */
    CHECK(mmap(p, PAGE, PROT_READ, anon, -1, 0) == p);
    munmap(p, PAGE);
}

static int make_file(const char *name, size_t size)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (size_t i = 0; i < size; i++) {
        char c = (char)('a' + i / PAGE % 26);
        if (write(fd, &c, 1) != 1)
            return -1;
    }
    return fd;
}

CASE(a_hint_below_2_gib_is_kept_also_with_map_32bit)
{
    const size_t len = 1 << 20;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *wanted = (void *)0x50000000UL;

    CHECK(mmap(wanted, len, PROT_READ | PROT_WRITE, flags, -1, 0) == wanted);
    CHECK(munmap(wanted, len) == 0);
    CHECK(mmap(wanted, len, PROT_READ | PROT_WRITE, flags | MAP_32BIT, -1, 0) == wanted);
    char *other = mmap(wanted, len, PROT_READ, flags | MAP_32BIT, -1, 0);
    CHECK(other != wanted && (unsigned long)other < 0x80000000UL);
    munmap(other, len);
    CHECK(munmap(wanted, len) == 0);
    other = mmap((void *)0x123400000000UL, len, PROT_READ, flags | MAP_32BIT, -1, 0);
    CHECK((unsigned long)other < 0x80000000UL);
    munmap(other, len);
}

CASE(a_private_file_mapping_is_copied_on_write)
{
    char buf[2];
    int fd = make_file("mp", 2 * PAGE + 100);
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    NEED(p != MAP_FAILED);
    CHECK(p[0] == 'a' && p[PAGE] == 'b' && p[2 * PAGE + 99] == 'c');
    CHECK_EQ(p[2 * PAGE + 100], 0);
    p[PAGE] = 'X';
    CHECK(pread(fd, buf, 1, PAGE) == 1 && buf[0] == 'b');
    CHECK(p[PAGE] == 'X' && p[PAGE + 1] == 'b');
    CHECK_EQ(munmap(p, 3 * PAGE), 0);
    p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
    CHECK(p != MAP_FAILED && p[0] == 'b');
    munmap(p, PAGE);
    close(fd);
}

/* Page after page, as who relocates an archive: the kernel may copy ahead of the writer. */
CASE(a_private_file_mapping_is_written_in_order)
{
    enum { PAGES = 40 };
    char page[PAGE];
    int fd = make_file("mpo", 0);
    for (int i = 0; i < PAGES; i++) {
        memset(page, 'A' + i, PAGE);
        CHECK_EQ(write(fd, page, PAGE), PAGE);
    }
    char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    NEED(p != MAP_FAILED);
    for (int i = 0; i < PAGES; i++)
        CHECK_EQ(p[i * PAGE], 'A' + i);
    CHECK_EQ(mprotect(p + 30 * PAGE, PAGE, PROT_READ), 0);
    for (int i = 0; i < 20; i++)
        p[i * PAGE + 7] = '!';
    for (int i = 0; i < PAGES; i++) {
        CHECK_EQ(p[i * PAGE], 'A' + i);
        CHECK_EQ(p[i * PAGE + 7], i < 20 ? '!' : 'A' + i);
        CHECK(pread(fd, page, 8, i * PAGE) == 8 && page[7] == 'A' + i);
    }
    pid_t child = fork(); /* to whom what was copied ahead is its own too; none in a process */
    if (child == 0) {
        for (int i = 0; i < 30; i++)
            p[i * PAGE] = '?';
        _exit(0);
    }
    int status;
    CHECK(child < 0 || (waitpid(child, &status, 0) == child && status == 0));
    for (int i = 0; i < PAGES; i++)
        CHECK_EQ(p[i * PAGE], 'A' + i);
    CHECK_EQ(munmap(p, PAGES * PAGE), 0);
    close(fd);
}

CASE(a_shared_file_mapping_is_the_file)
{
    char c;
    int fd = make_file("ms", 2 * PAGE);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
    NEED(p != MAP_FAILED && q != MAP_FAILED);
    p[PAGE + 3] = 'S';
    CHECK_EQ(q[3], 'S');
    CHECK(pread(fd, &c, 1, PAGE + 3) == 1 && c == 'S');
    CHECK_EQ(pwrite(fd, "W", 1, PAGE + 4), 1);
    CHECK_EQ(p[PAGE + 4], 'W');
    CHECK_EQ(msync(p, 2 * PAGE, MS_SYNC), 0);
    close(fd);
    p[0] = 'Z';
    fd = open("ms", O_RDONLY);
    CHECK(read(fd, &c, 1) == 1 && c == 'Z');
    CHECK_ERR(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
    char *r = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(r != MAP_FAILED);
    munmap(r, PAGE);
    close(fd);
    munmap(p, 2 * PAGE), munmap(q, PAGE);
}

CASE(past_the_end_of_the_file_is_sigbus)
{
    int fd = make_file("mb", PAGE + 1);
    char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(p != MAP_FAILED);
    CHECK_EQ(fault_of(p + PAGE + 100, false), 0);
    CHECK_EQ(fault_of(p + 2 * PAGE, false), SIGBUS);
    CHECK_EQ(fault_code, BUS_ADRERR);
    CHECK(fault_addr == p + 2 * PAGE);
    NEED(ftruncate(fd, 3 * PAGE) == 0);
    CHECK_EQ(fault_of(p + 2 * PAGE, true), 0);
    NEED(ftruncate(fd, 10) == 0);
    CHECK_EQ(fault_of(p + PAGE, false), SIGBUS);
    CHECK_EQ(p[9], 'a');
    munmap(p, 4 * PAGE);
    close(fd);
}

CASE(shared_anonymous_memory)
{
    char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED);
    CHECK_EQ(p[PAGE], 0);
    p[PAGE] = 3;
    CHECK_EQ(p[PAGE], 3);
    CHECK_EQ(munmap(p, 2 * PAGE), 0);
}

CASE(mremap_grows_moves_and_shrinks)
{
    char *p = map(4);
    NEED(p != MAP_FAILED);
    for (int i = 0; i < 4; i++)
        p[i * PAGE] = (char)('0' + i);
    char *wall = mmap(p + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wall == p + 4 * PAGE)
        CHECK_ERR(mremap(p, 4 * PAGE, 8 * PAGE, 0), ENOMEM);
    char *q = mremap(p, 4 * PAGE, 300 * PAGE, MREMAP_MAYMOVE);
    NEED(q != MAP_FAILED);
    CHECK(q[0] == '0' && q[3 * PAGE] == '3' && q[299 * PAGE] == 0);
    if (q != p)
        CHECK_EQ(fault_of(p, false), SIGSEGV);
    CHECK(mremap(q, 300 * PAGE, 2 * PAGE, 0) == q);
    CHECK_EQ(q[PAGE], '1');
    CHECK_EQ(fault_of(q + 2 * PAGE, false), SIGSEGV);
    char *place = map(2);
    CHECK(mremap(q, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
    CHECK(place[0] == '0' && place[PAGE] == '1');
    CHECK_ERR(mremap((void *)0x10000000000, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    CHECK_ERR(mremap(place + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EINVAL);
    CHECK_ERR(mremap(place, PAGE, 0, MREMAP_MAYMOVE), EINVAL);
    munmap(place, 2 * PAGE), munmap(wall, PAGE);
}

CASE(dontneed_gives_zeros_or_the_file_again)
{
    char *p = map(4);
    memset(p, 5, 4 * PAGE);
    CHECK_EQ(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED), 0);
    CHECK(p[0] == 5 && p[PAGE] == 0 && p[2 * PAGE + 7] == 0 && p[3 * PAGE] == 5);
    CHECK_ERR(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_ERR(madvise(p, PAGE, 12345), EINVAL);
    CHECK_EQ(madvise(p, 4 * PAGE, MADV_WILLNEED), 0);
    CHECK_EQ(madvise(p, 4 * PAGE, MADV_FREE), 0);
    munmap(p, 4 * PAGE);
    CHECK_ERR(madvise((void *)0x10000000000, PAGE, MADV_DONTNEED), ENOMEM);
    int fd = make_file("md", PAGE);
    p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    p[0] = 'X';
    CHECK_EQ(madvise(p, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(p[0], 'a');
    munmap(p, PAGE);
    close(fd);
}

CASE(huge_page_advice_keeps_the_contents)
{
    size_t size = 8 << 20;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED);
    int err = madvise(p, size, MADV_HUGEPAGE);
    CHECK(err == 0 || errno == EINVAL);
    for (size_t i = 0; i < size; i += PAGE)
        p[i] = (char)(i / PAGE);
    char *mid = p + (4 << 20);
    CHECK_EQ(munmap(mid + PAGE, PAGE), 0);
    CHECK_EQ(mprotect(mid + 2 * PAGE, PAGE, PROT_READ), 0);
    CHECK_EQ(madvise(mid + 3 * PAGE, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(fault_of(mid + PAGE, false), SIGSEGV);
    CHECK_EQ(fault_of(mid + 2 * PAGE, true), SIGSEGV);
    CHECK_EQ(mid[3 * PAGE], 0);
    unsigned int bad = 0;
    for (size_t i = 0; i < size; i += PAGE)
        if (p + i != mid + PAGE && p + i != mid + 3 * PAGE)
            bad += p[i] != (char)(i / PAGE);
    CHECK_EQ(bad, 0);
    munmap(p, size);
}

CASE(brk_moves_and_gives_zeros)
{
    char *start = (char *)syscall(SYS_brk, 0);
    CHECK(start != NULL);
    char *end = (char *)syscall(SYS_brk, start + 10 * PAGE);
    CHECK(end == start + 10 * PAGE);
    CHECK_EQ(start[9 * PAGE], 0);
    memset(start, 1, 10 * PAGE);
    CHECK((char *)syscall(SYS_brk, start) == start);
    CHECK_EQ(syscall(SYS_brk, start + PAGE), (long)(start + PAGE));
    CHECK((char *)syscall(SYS_brk, 1) == start + PAGE);
    CHECK((char *)syscall(SYS_brk, start) == start);
}

CASE(malloc_of_many_sizes)
{
    char *held[200];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++) {
            size_t size = (size_t)(i * 977 + 1);
            NEED(held[i] = malloc(size));
            memset(held[i], i, size);
        }
        for (int i = 0; i < 200; i++) {
            CHECK(held[i][i * 977] == (char)i);
            free(held[i]);
        }
    }
    char *big = malloc(16 << 20);
    NEED(big);
    big[0] = big[(16 << 20) - 1] = 1;
    big = realloc(big, 24 << 20);
    CHECK(big && big[(16 << 20) - 1] == 1);
    free(big);
}

CASE(the_null_page_and_the_kernel_half_fault)
{
    volatile uintptr_t zero = 0;
    CHECK_EQ(fault_of((char *)zero, false), SIGSEGV);
    CHECK(fault_addr == NULL && fault_code == SEGV_MAPERR);
    CHECK_EQ(fault_of((char *)zero + 8, true), SIGSEGV);
    CHECK_EQ(fault_of((char *)0x8000000000000000UL, false), SIGSEGV);
    CHECK_EQ(fault_of((char *)0x7ffffffff000UL, true), SIGSEGV);
}

static const char constant[PAGE] = "read only";
static int plain_function(void)
{
    return 42;
}

CASE(text_and_constants_cannot_be_written)
{
    CHECK_EQ(fault_of((char *)(uintptr_t)constant, true), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_ACCERR);
    CHECK_EQ(fault_of((char *)(uintptr_t)&plain_function, true), SIGSEGV);
    CHECK_EQ(plain_function(), 42);
}

static unsigned char mov_42_ret[] = {0xb8, 42, 0, 0, 0, 0xc3};

static int call_of(void *code, int *result)
{
    catch_faults();
    fault_signal = 0;
    if (sigsetjmp(fault_jump, 1) == 0)
        *result = ((int (*)(void))(uintptr_t)code)();
    return fault_signal;
}

CASE(data_stack_and_heap_cannot_be_executed)
{
    int result = 0;
    unsigned char on_stack[8];
    memcpy(on_stack, mov_42_ret, sizeof(mov_42_ret));
    CHECK_EQ(call_of(mov_42_ret, &result), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_ACCERR);
    CHECK(fault_addr == mov_42_ret);
    CHECK_EQ(call_of(on_stack, &result), SIGSEGV);
    char *p = map(1);
    memcpy(p, mov_42_ret, sizeof(mov_42_ret));
    CHECK_EQ(call_of(p, &result), SIGSEGV);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_EXEC), 0);
    CHECK_EQ(call_of(p, &result), 0);
    CHECK_EQ(result, 42);
    CHECK_EQ(fault_of(p, true), SIGSEGV);
    munmap(p, PAGE);
}

/* An area that is cut in the middle of a large page: both parts give back what is theirs. */
CASE(advice_for_a_part_of_a_large_page)
{
    const size_t size = 6 << 20, from = 3 << 20, part = 64 << 10;

    for (int round = 0; round < 4; round++) {
        char *p = map(size / PAGE), *other;
        memset(p, 'a', size);
        CHECK_EQ(madvise(p + from, part, round % 2 ? MADV_NOHUGEPAGE : MADV_DONTFORK), 0);
        CHECK_EQ(madvise(p + from, part, MADV_DONTNEED), 0);
        CHECK_EQ(munmap(p + (2 << 20), PAGE), 0); /* the first page of a large one */
        other = map(size / PAGE);
        memset(other, 'b', size);
        for (size_t at = 0; at < size; at += PAGE) {
            if (at == 2 << 20)
                continue;
            int want = at >= from && at < from + part ? 0 : 'a';
            if (!CHECK_EQ(p[at], want) || !CHECK_EQ(p[at + PAGE - 1], want))
                break;
        }
        CHECK_EQ(munmap(p, size), 0);
        CHECK_EQ(munmap(other, size), 0);
    }
}

CASE(a_jit_may_ask_for_rwx)
{
    int result = 0;
    char *p =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED);
    memcpy(p, mov_42_ret, sizeof(mov_42_ret));
    CHECK_EQ(call_of(p, &result), 0);
    CHECK_EQ(result, 42);
    p[1] = 43; /* the code changes under us */
    CHECK_EQ(call_of(p, &result), 0);
    CHECK_EQ(result, 43);
    munmap(p, PAGE);
}

CASE(mincore_and_mlock)
{
    unsigned char seen[4] = {0};
    char *p = map(4);
    p[PAGE] = 1;
    CHECK_EQ(mincore(p, 4 * PAGE, seen), 0);
    CHECK(seen[1] & 1);
    CHECK_EQ(mlock(p, PAGE), 0);
    CHECK_EQ(munlock(p, PAGE), 0);
    munmap(p, 4 * PAGE);
    CHECK_ERR(mincore((void *)0x10000000000, PAGE, seen), ENOMEM);
}

CASE(the_stack_grows_to_its_limit)
{
    /* 4 MiB of the usual 8: touched downwards, a page at a time. */
    volatile char *p = alloca(4 << 20);
    for (long i = (4 << 20) - 1; i >= 0; i -= PAGE)
        p[i] = (char)i;
    CHECK_EQ(p[(4 << 20) - 1], (char)((4 << 20) - 1));
}

CASE(thousands_of_mappings)
{
    enum { N = 2000 };
    static char *p[N];
    for (int i = 0; i < N; i++) { /* alternate protections, so that they cannot merge */
        p[i] = mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(p[i] != MAP_FAILED);
        if (i % 2 == 0)
            *(int *)p[i] = i;
    }
    for (int i = 0; i < N; i++)
        NEED(*(int *)p[i] == (i % 2 ? 0 : i));
    for (int i = 0; i < N; i += 2)
        NEED(munmap(p[i], PAGE) == 0);
    for (int i = 1; i < N; i += 2)
        NEED(munmap(p[i], PAGE) == 0);
}

CASE(memory_is_given_back)
{
    /* In all 400 MiB go by; a leak ends a small guest. */
    for (int i = 0; i < 100; i++) {
        char *p = map(1024);
        NEED(p != MAP_FAILED);
        for (int page = 0; page < 1024; page += 4)
            p[page * PAGE] = 1;
        NEED(munmap(p, 1024 * PAGE) == 0);
    }
}

/* ---- process_vm_readv and process_vm_writev ---- */

CASE(own_memory_is_read_by_pieces)
{
    char from[10000], to[10000],
        *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec local[2] = {{to, 100}, {to + 100, 9900}};
    struct iovec remote[3] = {{from, 5000}, {NULL, 0}, {from + 5000, 5000}};
    NEED(hole != MAP_FAILED && !munmap(hole + 4096, 4096));
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (char)(i * 7);
    CHECK_EQ(process_vm_readv(getpid(), local, 2, remote, 3, 0), 10000);
    CHECK(!memcmp(from, to, sizeof(to)));
    memset(from, 0, sizeof(from));
    CHECK_EQ(process_vm_writev(getpid(), local, 2, remote, 3, 0), 10000);
    CHECK(!memcmp(from, to, sizeof(to)));
    struct iovec edge = {hole, 8192}, gone = {hole + 4096, 10}, all = {to, sizeof(to)};
    memset(hole, 5, 4096);
    CHECK_EQ(process_vm_readv(getpid(), &all, 1, &edge, 1, 0), 4096); /* what was there */
    CHECK(to[0] == 5 && to[4095] == 5);
    CHECK_ERR(process_vm_readv(getpid(), &all, 1, &gone, 1, 0), EFAULT);
    CHECK_ERR(process_vm_writev(getpid(), &all, 1, &gone, 1, 0), EFAULT);
    CHECK_ERR(process_vm_readv(getpid(), &gone, 1, &all, 1, 0), EFAULT);
    CHECK_ERR(process_vm_readv(getpid(), &all, 1, &all, 1, 1), EINVAL);
    CHECK_ERR(process_vm_readv(getpid(), &all, 2000, &all, 1, 0), EINVAL);
    CHECK_ERR(process_vm_readv(0x3fffff, &all, 1, &all, 1, 0), ESRCH);
    CHECK_EQ(process_vm_readv(getpid(), &all, 0, &all, 1, 0), 0);
    CHECK_EQ(process_vm_readv(getpid(), &all, 1, &all, 0, 0), 0);
    munmap(hole, 4096);
}
