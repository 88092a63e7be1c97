#include "vm/kvm.h"

#include "vm/boot_cache.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    KVM_API = 12,
    KVM_DEADLINE_MS = 200, /* for the whole trial; a real one takes a few */
    KVM_QUICK_US = 500,    /* for PROBE_LOOPS rounds: emulation's time; hardware needs about 6 */
    KVM_HOPELESS_US = 4 * KVM_QUICK_US,
    PROBE_LOOPS = 0x2000,
    PROBE_TRIES = 3, /* the first run pays for cold page tables */
    PROBE_PAGE = 0x1000,
};

/* mov cx, PROBE_LOOPS; 1: dec cx; jnz 1b; hlt -- 16-bit code */
static const u8 probe_code[] = {0xb9, 0x00, 0x20, 0x49, 0x75, 0xfd, 0xf4};

/* What the child tells: its page in memory shared with the parent. */
struct kvm_trial {
    const char *failed; /* the step, a literal; NULL if all went well */
    int error;
    u64 best_us;
};

static u64 kvm_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (u64)ts.tv_sec * 1000000 + (u64)ts.tv_nsec / 1000;
}

static void kvm_trial_failed(struct kvm_trial *trial, const char *step)
{
    trial->error = errno;
    trial->failed = step;
    _exit(0);
}

/* One page of code at PROBE_PAGE, real mode, all segments at 0. */
static void kvm_trial_setup(int vm, int vcpu, struct kvm_trial *trial)
{
    void *page = mmap(NULL, PROBE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        kvm_trial_failed(trial, "memory");
    memcpy(page, probe_code, sizeof(probe_code));
    struct kvm_userspace_memory_region region = {
        .guest_phys_addr = PROBE_PAGE,
        .memory_size = PROBE_PAGE,
        .userspace_addr = (u64)(uintptr_t)page,
    };
    struct kvm_sregs sregs;
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        kvm_trial_failed(trial, "guest memory");
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
        kvm_trial_failed(trial, "registers");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0)
        kvm_trial_failed(trial, "registers");
}

static u64 kvm_trial_run(int vcpu, const volatile struct kvm_run *run, struct kvm_trial *trial)
{
    struct kvm_regs regs = {.rip = PROBE_PAGE, .rflags = 2};
    u64 start = kvm_now_us();

    if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
        kvm_trial_failed(trial, "registers");
    if (ioctl(vcpu, KVM_RUN, 0) < 0)
        kvm_trial_failed(trial, "run");
    if (run->exit_reason != KVM_EXIT_HLT) {
        errno = EPROTO;
        kvm_trial_failed(trial, "run to its end");
    }
    return kvm_now_us() - start;
}

/* In the child.  Does not return. */
static void kvm_trial_child(int kvm, struct kvm_trial *trial)
{
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0)
        kvm_trial_failed(trial, "create a machine");
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (vcpu < 0)
        kvm_trial_failed(trial, "create a CPU");
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run =
        mmap(NULL, size > 0 ? (size_t)size : 0, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED)
        kvm_trial_failed(trial, "map a CPU");
    kvm_trial_setup(vm, vcpu, trial);
    u64 best = UINT64_MAX;
    for (int i = 0; i < PROBE_TRIES && (i == 0 || best < KVM_HOPELESS_US); i++) {
        u64 us = kvm_trial_run(vcpu, run, trial);
        best = min(best, us);
    }
    trial->best_us = best;
    _exit(0);
}

/* Waits for the child up to the deadline, then ends it.  Returns whether it ended by itself. */
static bool kvm_trial_wait(pid_t child, int alive)
{
    struct pollfd end = {.fd = alive, .events = POLLIN};
    bool ended = poll(&end, 1, KVM_DEADLINE_MS) == 1;

    if (!ended)
        kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return ended;
}

static void kvm_judge(const struct kvm_trial *trial, bool ended, struct kvm_info *info)
{
    if (!ended) {
        info->state = KVM_SLOW;
        snprintf(info->why, sizeof(info->why), "a guest of a few instructions took over %d ms",
                 KVM_DEADLINE_MS);
    } else if (trial->failed) {
        info->state = KVM_BROKEN;
        snprintf(info->why, sizeof(info->why), "cannot %s: %s", trial->failed,
                 strerror(trial->error));
    } else if (trial->best_us > KVM_QUICK_US) {
        info->state = KVM_SLOW;
        snprintf(info->why, sizeof(info->why),
                 "a loop of %d rounds took %llu us, hardware needs about 6: it interprets",
                 PROBE_LOOPS, (unsigned long long)trial->best_us);
    } else {
        info->state = KVM_QUICK;
        snprintf(info->why, sizeof(info->why), "a loop of %d rounds took %llu us", PROBE_LOOPS,
                 (unsigned long long)trial->best_us);
    }
}

static void kvm_try(int kvm, struct kvm_info *info)
{
    int alive[2]; /* the write end closes when the child ends */
    struct kvm_trial *trial =
        mmap(NULL, sizeof(*trial), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    info->state = KVM_BROKEN;
    snprintf(info->why, sizeof(info->why), "out of memory or processes");
    if (trial == MAP_FAILED)
        return;
    if (pipe2(alive, O_CLOEXEC) < 0)
        goto unmap;
    pid_t child = fork();
    if (child == 0)
        kvm_trial_child(kvm, trial);
    close(alive[1]);
    if (child > 0)
        kvm_judge(trial, kvm_trial_wait(child, alive[0]), info);
    close(alive[0]);
unmap:
    munmap(trial, sizeof(*trial));
}

/* A file of the cache: the state's number, a space, the reason. */
static bool kvm_recall(struct kvm_info *info)
{
    char text[200];
    char *reason;

    if (!boot_cache_get("kvm", text, sizeof(text)))
        return false;
    unsigned long state = strtoul(text, &reason, 10);
    if (reason == text || *reason != ' ' || state > KVM_QUICK)
        return false;
    info->state = (enum kvm_state)state;
    snprintf(info->why, sizeof(info->why), "%s", reason + 1);
    return true;
}

void kvm_probe(struct kvm_info *info)
{
    char text[200];
    int kvm CLEANUP(fd_close) = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (kvm < 0) {
        bool absent = errno == ENOENT || errno == ENODEV || errno == ENXIO;
        info->state = absent ? KVM_ABSENT : KVM_REFUSED;
        snprintf(info->why, sizeof(info->why), "/dev/kvm: %s", strerror(errno));
        return;
    }
    if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API) {
        info->state = KVM_BROKEN;
        snprintf(info->why, sizeof(info->why), "/dev/kvm speaks another version of its interface");
        return;
    }
    if (kvm_recall(info))
        return;
    kvm_try(kvm, info);
    snprintf(text, sizeof(text), "%d %s", (int)info->state, info->why);
    boot_cache_put("kvm", text);
}
