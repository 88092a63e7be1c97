/* Attempts to leave the sandbox of a guest in a process: `escape KIND [HOST-FILE]`.
 * The program shares the kernel's address space, so it can find the stub through which the kernel
 * calls the host, and jump there with anything it likes.  Status 0: the attempt was refused and the
 * program lives; else the whole sandbox must have been ended, and nothing more. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OUT = 77 }; /* the host did it */

#define GATE   0x10800ul  /* include/abi/patch.h */
#define TENDER 0x100000ul /* host/tender/meson.build */

typedef long host_call_fn(long nr, long a, long b, long c, long d, long e, long f);

/* The instructions of host_call() in kernel/plat/hosted/entry.S. */
static const unsigned char stub_code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6,
                                          0x48, 0x89, 0xca, 0x4d, 0x89, 0xc2, 0x4d, 0x89, 0xc8,
                                          0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05};

static host_call_fn *find_stub(void)
{
    uintptr_t text = *(volatile uintptr_t *)GATE; /* the entry, at the beginning of the text */
    void *at = memmem((void *)text, 0x80000, stub_code, sizeof(stub_code));

    if (!at) {
        fprintf(stderr, "the stub is not where this test looks for it\n");
        exit(OUT + 1);
    }
    return (host_call_fn *)(uintptr_t)at;
}

static long from_stub(long nr, long a, long b, long c)
{
    return find_stub()(nr, a, b, c, 0, 0, 0);
}

static long str(const char *s)
{
    return (long)(uintptr_t)s;
}

static int judge(long result)
{
    printf("%ld\n", result);
    return result < 0 ? 0 : OUT;
}

/* By the instruction, as every call: the guest's files are not the host's. */
static int try_file(const char *path)
{
    return judge(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY));
}
static int try_x32(const char *path)
{
    return judge(syscall(0x40000000 | SYS_openat, AT_FDCWD, path, O_RDONLY));
}
static int try_int80(const char *path)
{
    long result = 5; /* open */

    __asm__ volatile("int $0x80" : "+a"(result) : "b"(path), "c"(0), "d"(0) : "memory");
    return judge(result);
}

static int try_stub_open(const char *path)
{
    return judge(from_stub(SYS_openat, AT_FDCWD, str(path), O_RDONLY));
}
static int try_stub_socket(const char *path)
{
    (void)path;
    return judge(from_stub(SYS_socket, 1, 1, 0));
}
static int try_stub_execve(const char *path)
{
    return judge(from_stub(SYS_execve, str(path), 0, 0));
}
static int try_stub_clone(const char *path)
{
    (void)path;
    return judge(from_stub(SYS_clone, 17, 0, 0));
}
static int try_stub_kill(const char *path)
{
    (void)path;
    return judge(from_stub(SYS_kill, -1, 0, 0));
}
static int try_stub_tgkill(const char *path)
{
    (void)path; /* where there are several CPUs this call passes, for threads of the sandbox only */
    return judge(from_stub(SYS_tgkill, 1, 1, 16));
}
static int try_stub_write(const char *path)
{
    (void)path; /* descriptor 4 is the kernel file */
    return judge(from_stub(SYS_write, 4, str("x"), 1));
}
static int try_stub_read(const char *path)
{
    static char byte;

    (void)path;
    return judge(from_stub(SYS_read, 5, (long)(uintptr_t)&byte, 1));
}
static int try_stub_prctl(const char *path)
{
    (void)path; /* PR_SET_SECCOMP, off */
    return judge(from_stub(SYS_prctl, 22, 0, 0));
}
static int try_stub_timer(const char *path)
{
    static const long never[4];

    (void)path; /* ITIMER_PROF: without it nobody would look after the memory limit */
    return judge(from_stub(SYS_setitimer, 2, str((const char *)never), 0));
}

/* The tender's own system-call instructions still lie there; they are the program's. */
static int try_tender(const char *path)
{
    unsigned char *at = memmem((void *)TENDER, 0x1000, "\x0f\x05", 2);
    long result = SYS_openat;

    if (!at)
        return OUT + 1;
    __asm__ volatile("call *%1"
                     : "+a"(result)
                     : "r"(at), "D"(AT_FDCWD), "S"(path), "d"(0)
                     : "memory", "rcx", "r11");
    return judge(result);
}

static int try_segment(const char *path)
{
    __asm__ volatile("wrgsbase %0" ::"r"(0x1000ul));
    return try_file(path);
}

/* The guest's own mmap must not reach the kernel's zone. */
static int try_map_over(const char *path)
{
    uintptr_t page = (uintptr_t)find_stub() & ~4095ul;
    void *got = mmap((void *)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    (void)path;
    return got == MAP_FAILED && errno == ENOMEM ? 0 : OUT;
}

/* But the host's does, from the stub: then code of ours runs where calls are allowed. */
static int try_replace_stub(const char *path)
{
    host_call_fn *stub = find_stub();
    uintptr_t page = (uintptr_t)stub & ~4095ul;
    static unsigned char copy[4096];

    memcpy(copy, (void *)page, sizeof(copy));
    stub(SYS_mprotect, (long)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, 0, 0, 0);
    memcpy((void *)page, copy, sizeof(copy));
    return judge(stub(SYS_openat, AT_FDCWD, str(path), O_RDONLY, 0, 0, 0));
}

static const struct {
    const char *name;
    int (*run)(const char *path);
} attempts[] = {
    {"file", try_file},
    {"x32", try_x32},
    {"int80", try_int80},
    {"stub-open", try_stub_open},
    {"stub-socket", try_stub_socket},
    {"stub-execve", try_stub_execve},
    {"stub-clone", try_stub_clone},
    {"stub-kill", try_stub_kill},
    {"stub-tgkill", try_stub_tgkill},
    {"stub-write", try_stub_write},
    {"stub-read", try_stub_read},
    {"stub-prctl", try_stub_prctl},
    {"stub-timer", try_stub_timer},
    {"tender", try_tender},
    {"segment", try_segment},
    {"map-over", try_map_over},
    {"replace-stub", try_replace_stub},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 2 && i < sizeof(attempts) / sizeof(attempts[0]); i++)
        if (!strcmp(argv[1], attempts[i].name))
            return attempts[i].run(argv[2]);
    return 2;
}
