/* The sandbox before there is a kernel in it; see tender.h.  The order matters: whatever opens or
 * makes something comes before the filter, after which nothing can. */
#include "tender/tender.h"

#include <elf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#define VMAP_GUARD 0x000000010000ull

enum { HUGE = 2 << 20, LEAST_MEMORY = 2 << 20 };
enum { HEAD_TOUCHED = 88 << 10 }; /* up to there by any start */

/* All that is static fits into one page. */
static alignas(4096) struct hosted_boot boot;
static bool late; /* the device process comes with the first doorbell */

static size_t length(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}

static void say(const char *text)
{
    sys3(__NR_write, FD_LOG, ptr(text), length(text));
}

_Noreturn void tender_fail(const char *why, long error)
{
    char digits[8] = {0};
    u32 at = sizeof(digits) - 1;

    say("ingot: error: ");
    say(why);
    if (error) {
        say(" (error ");
        for (u64 n = (u64)(error < 0 ? -error : error); n && at; n /= 10)
            digits[--at] = (char)('0' + n % 10);
        say(digits + at);
        say(")");
    }
    say("\n");
    for (;;)
        sys3(__NR_exit_group, 3, 0, 0);
}

static u64 number(const char *text)
{
    u64 n = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        n = n * 10 + (u64)(*text - '0');
    if (*text)
        tender_fail("the tender is not for calling by hand", 0);
    return n;
}

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static bool starts(const char *text, const char *word)
{
    while (*word && *text == *word)
        text++, word++;
    return !*word;
}

static u64 auxv_get(const Elf64_auxv_t *v, u64 type)
{
    for (; v->a_type != AT_NULL; v++)
        if (v->a_type == type)
            return v->a_un.a_val;
    return 0;
}

/* A page of a file costs three times what private memory does, and what the kernel allocates at its
 * start mostly stays its own: so that part is private until somebody else wants to see it.  Returns
 * where it ends. */
static u64 plan_head(void)
{
    u64 frames = (boot.ram_len - HOSTED_FIRST_PA) / 4096;

    if ((boot.nr_devices && !late) || boot.nr_cpus > 1)
        return 0; /* a device may be asked to look at any of it; and nobody moves what two use */
    boot.head_len = HOSTED_ARRAY_PA;
    return HOSTED_ARRAY_PA + ALIGN_UP(frames * HOSTED_PAGE_INFO, 4096ull);
}

static void map_file(u64 from, u64 to, s32 fd)
{
    if (sys6(__NR_mmap, boot.direct_base + from, to - from, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED | MAP_NORESERVE, (u64)fd, from) < 0)
        tender_fail("no room for the guest's memory", 0);
}

void tender_touch(u64 at, u64 len)
{
    enum { POPULATE_WRITE = 23 };

    sys3(__NR_madvise, at, len, POPULATE_WRITE);
}

/* The first page is a CPU's where there are devices, and nobody's else. */
static void touch_head(void)
{
    u64 from = boot.nr_devices ? 0 : HOSTED_FIRST_PA;

    tender_touch(boot.direct_base + from, HEAD_TOUCHED - from);
}

static void add_memory(u64 from, u64 to, s32 fd)
{
    boot.regions[boot.nr_regions++] =
        (struct hosted_region){.pa = from, .len = to - from, .offset = from, .fd = fd, .shared = 1};
}

/* All of it, for several CPUs, or because a device process may look at any of it. */
static void map_memory_file(s32 shared_fd)
{
    long fd = shared_fd;

    if (!boot.nr_devices) {
        fd = sys3(__NR_memfd_create, ptr("ingot-memory"), MFD_CLOEXEC, 0);
        if (fd < 0 || sys3(__NR_ftruncate, (u64)fd, boot.ram_len, 0))
            tender_fail("no memory for the guest", fd);
    }
    map_file(0, boot.ram_len, (s32)fd);
    add_memory(0, boot.ram_len, (s32)fd);
}

/* Returns where the part of it ends that is to be private and goes on where the kernel ends: else
 * 0.  A kernel that is alone so far needs no more at its start, and maps the rest when it first
 * comes there. */
static u64 map_memory(s32 shared_fd)
{
    u64 head_end = plan_head();
    s32 fd = boot.nr_devices ? shared_fd : -1;

    if (!head_end) {
        map_memory_file(shared_fd);
        return 0;
    }
    boot.rest_pa = head_end;
    add_memory(0, head_end, fd);
    add_memory(head_end, boot.ram_len, fd);
    return boot.direct_base + head_end;
}

/* What is offered to the kernel by the device process, right behind the memory in its file.  A
 * kernel that may never ask for it maps it itself. */
static void map_window(s32 memory_fd)
{
    if (!boot.nr_devices)
        return;
    u64 len = window_bytes(boot.nr_devices);
    boot.window = boot.kernel_base - VMAP_GUARD - len;
    if (boot.head_len)
        return;
    long at = sys6(__NR_mmap, boot.window, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   (u64)memory_fd, boot.ram_len);
    if (at < 0)
        tender_fail("no room for the devices' window", at);
}

/* Where descriptors behind the layers are: those that are read side by side, and those that are
 * written; the filter's rules are short that way.  Returns the first number that is nobody's. */
static u32 place_descriptors(s32 memory_fd, bool operator)
{
    s32 next = memory_fd + 2;

    boot.irq_fd = memory_fd + 1;
    if (operator)
        boot.operator_fd = next++;
    boot.doorbell_fd = next;
    if (!operator&& !boot.nr_devices)
        return (u32)memory_fd + 1;
    return (u32)next + boot.nr_devices;
}

/* The layers one behind the other, as the parts of an initrd are. */
static void map_layers(u32 count)
{
    u64 at = hosted_layers_at(boot.ram_len);

    boot.initrd_pa = at;
    for (u32 i = 0; i < count; i++) {
        struct stat st;
        s32 fd = FD_LAYERS + (s32)i;
        if (sys3(__NR_fstat, (u64)fd, ptr(&st), 0))
            tender_fail("a layer is not there", 0);
        u64 len = ALIGN_UP((u64)st.st_size, 4096ull);
        if (len && sys6(__NR_mmap, boot.direct_base + at, len, PROT_READ, MAP_PRIVATE | MAP_FIXED,
                        (u64)fd, 0) < 0)
            tender_fail("cannot map a layer", 0);
        boot.regions[boot.nr_regions++] = (struct hosted_region){.pa = at, .len = len, .fd = fd};
        at += len;
    }
    boot.initrd_len = at - boot.initrd_pa;
    boot.kernel_pa = ALIGN_UP(at, (u64)HUGE) + HUGE;
}

static void look_at_streams(void)
{
    struct stat st;

    for (u32 fd = 0; fd < 3; fd++)
        if (!sys3(__NR_fstat, fd, ptr(&st), 0) && S_ISREG(st.st_mode))
            boot.file_streams |= 1u << fd;
}

struct kernel_sigaction {
    u64 handler, flags, restorer, mask;
};

/* Everything but what the kernel handles stays blocked: keys of a terminal are the runner's. */
static void take_signals(const struct tender_kernel *kernel)
{
    static const u8 handled[] = {SIGSEGV,         SIGBUS,          SIGFPE,         SIGILL,
                                 HOSTED_SIG_TICK, SIGTRAP,         SIGSYS,         HOSTED_SIG_TIMER,
                                 HOSTED_SIG_STOP, HOSTED_SIG_KICK, HOSTED_SIG_HALT};
    enum { RESTORER = 0x04000000 };
    struct kernel_sigaction action = {
        .handler = kernel->on_signal,
        .flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | RESTORER,
        .restorer = kernel->restorer,
    };
    stack_t stack = {.ss_sp = (void *)(uintptr_t)kernel->signal_stack,
                     .ss_size = kernel->signal_stack_size};
    u64 mask = ~0ull;

    sys3(__NR_sigaltstack, ptr(&stack), 0, 0);
    for (u32 i = 0; i < sizeof(handled); i++) {
        sys6(__NR_rt_sigaction, handled[i], ptr(&action), 0, sizeof(u64), 0, 0);
        mask &= ~(1ull << (handled[i] - 1));
    }
    sys6(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&mask), 0, sizeof(u64), 0, 0);
}

/* The kernel finds its timers by the numbers that follow the first one's. */
static void make_deadline_timer(u32 cpu)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = HOSTED_SIG_TIMER};
    s32 id = 0;

    event._sigev_un._tid = boot.cpus[cpu].tid;
    long err = sys3(__NR_timer_create, CLOCK_MONOTONIC, ptr(&event), ptr(&id));
    if (err)
        tender_fail("the host makes no timer; 'ulimit -i' may be too low", err);
    if (!cpu)
        boot.timer_id = id;
    else if (id != boot.timer_id + (s32)cpu)
        tender_fail("the host does not number timers one by one, as --cpus needs it", 0);
}

/* One a CPU for deadlines, and one that ticks while the guest computes: what must be looked at now
 * and then costs an idle one nothing.  A CPU that is alone has its process's interval timer, which
 * is there already, as the ticking one is. */
static void make_timers(void)
{
    const struct itimerval tick = {{0, HOSTED_TICK_US}, {0, HOSTED_TICK_US}};

    for (u32 i = 0; i < boot.nr_cpus && boot.nr_cpus > 1; i++)
        make_deadline_timer(i);
    long err = sys3(__NR_setitimer, ITIMER_PROF, ptr(&tick), 0);
    if (err)
        tender_fail("the host's timer of CPU time cannot be set", err);
}

static void set_limit(u32 what, u64 value)
{
    struct rlimit limit = {value, value};

    sys6(__NR_prlimit64, 0, what, ptr(&limit), 0, 0, 0);
}

/* Whoever runs us, root too: no right over this machine is left. */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    sys3(__NR_capset, ptr(&header), ptr(none), 0);
}

static void give_up_rights(u32 nr_fds)
{
    drop_capabilities();
    sys3(__NR_close_range, nr_fds, ~0u, 0);
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_NOFILE, nr_fds);
    set_limit(RLIMIT_MEMLOCK, 0);
    set_limit(RLIMIT_MSGQUEUE, 0);
}

/* A shortcut only: with none, or with one of another version, the kernel asks the CPU. */
static void read_facts(void)
{
    static struct hosted_facts facts;
    long got = sys6(__NR_pread64, FD_FACTS, ptr(&facts), sizeof(facts), 0, 0, 0);

    if (got != sizeof(facts) || facts.magic != HOSTED_MAGIC ||
        facts.version != HOSTED_FACTS_VERSION || facts.cpuids.count > CPUID_ENTRIES_MAX)
        facts.cpuids.count = 0;
    boot.cpuids = ptr(&facts.cpuids);
    sys3(__NR_close, FD_FACTS, 0, 0);
}

/* Returns whether there is an operator's line. */
static bool read_words(char **words)
{
    bool operator= false;

    for (; *words; words++)
        if (same(*words, "tty"))
            boot.features |= HOSTED_TTY;
        else if (same(*words, "operator"))
            operator= true;
        else if (same(*words, "late"))
            late = true;
        else if (starts(*words, "devices="))
            boot.nr_devices = (u32)number(*words + sizeof("devices=") - 1);
        else if (starts(*words, "cpus="))
            boot.nr_cpus = (u32)number(*words + sizeof("cpus=") - 1);
    return operator;
}

/* A debugger asks for addresses that stay, and knows the kernel's (tools/ingot.gdb). */
static bool wants_fixed_places(void)
{
    enum { ADDR_NO_RANDOMIZE = 0x0040000 };

    return sys3(__NR_personality, 0xffffffff, 0, 0) & ADDR_NO_RANDOMIZE;
}

/* The kernel ends where memory begins. */
static void choose_places(u64 random)
{
    u64 place, len = tender_open_kernel(&place);

    boot.floor = HOSTED_ZONE_PROGRAM;
    boot.direct_base = hosted_memory_at(random);
    boot.kernel_base = boot.direct_base - len;
    if (place || wants_fixed_places()) {
        boot.kernel_base = place ? place : HOSTED_DEBUGGED_KERNEL;
        boot.direct_base = boot.kernel_base + len;
    }
    if (place)
        boot.features |= HOSTED_RELOCATED;
    boot.vmap_size = HOSTED_VMAP_SIZE;
    boot.vmap_base =
        boot.kernel_base - HOSTED_VMAP_SIZE -
        (boot.nr_devices ? 2 * VMAP_GUARD + window_bytes(boot.nr_devices) : VMAP_GUARD);
}

static void fill_boot(const Elf64_auxv_t *auxv)
{
    const u64 *random = (const void *)(uintptr_t)auxv_get(auxv, AT_RANDOM);
    struct timespec now;

    choose_places(*random);
    sys3(__NR_clock_gettime, CLOCK_REALTIME, ptr(&now), 0);
    boot.wall_ns = (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
    sys3(__NR_getrandom, ptr(boot.seed), sizeof(boot.seed), 0);
    if (auxv_get(auxv, AT_HWCAP2) & 2)
        boot.features |= HOSTED_FSGSBASE;
    boot.log_fd = FD_LOG;
}

_Noreturn void tender_main(u64 *stack);

_Noreturn void tender_main(u64 *stack)
{
    u64 argc = stack[0];
    char **argv = (char **)(stack + 1), **env = argv + argc + 1;
    struct tender_kernel kernel;

    while (*env)
        env++;
    const Elf64_auxv_t *auxv = (const void *)(env + 1);
    if (argc < 4)
        tender_fail("the tender is not for calling by hand", 0);
    u64 memory = number(argv[2]), layers = number(argv[3]);
    boot.magic = HOSTED_MAGIC;
    boot.version = HOSTED_VERSION;
    boot.nr_cpus = 1;
    bool operator= read_words(argv + 4);
    if (memory < LEAST_MEMORY || layers > MAX_LAYERS || boot.nr_devices > WINDOW_MAX_DEVICES ||
        !boot.nr_cpus || boot.nr_cpus > HOSTED_MAX_CPUS)
        tender_fail("too little memory, or too many layers, devices or CPUs", 0);

    boot.cmdline = ptr(argv[1]);
    read_facts();
    fill_boot(auxv);
    s32 memory_fd = FD_LAYERS + (s32)layers;
    give_up_rights(place_descriptors(memory_fd, operator));
    boot.ram_len = ALIGN_UP(memory, 4096ull);
    u64 private_end = map_memory(memory_fd);
    map_window(memory_fd);
    map_layers((u32)layers);
    tender_map_kernel(&boot, private_end, &kernel);
    if (boot.head_len)
        touch_head();
    look_at_streams();
    take_signals(&kernel);
    if (boot.nr_cpus > 1)
        tender_make_cpus(&boot, &kernel);
    make_timers();
    tender_install_filter(&kernel, (u32)memory_fd, &boot);
    ((void (*)(struct hosted_boot *))(uintptr_t)kernel.entry)(&boot);
    __builtin_unreachable();
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xorl %ebp, %ebp\n"
        "    movq %rsp, %rdi\n"
        "    andq $-16, %rsp\n"
        "    call tender_main\n"
        "    ud2\n");

/* What the compiler calls by itself. */
void *memset(void *to, int c, size_t n);
void *memset(void *to, int c, size_t n)
{
    void *end = to;

    __asm__ volatile("rep stosb" : "+D"(end), "+c"(n) : "a"(c) : "memory");
    return to;
}
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *end = to;

    __asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(n) : : "memory");
    return to;
}
