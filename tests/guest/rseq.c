/* Restartable sequences: the number of the CPU that the C library finds in memory, and sections
 * that start again where another thread, a signal or another CPU has come between. */
#define _GNU_SOURCE
#include "t.h"

#include <sched.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { THREADS = 4, ROUNDS = 150, SPINS = 50000 };

static struct rseq *mine(void)
{
    return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void run_on(int cpu)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    NEED(sched_setaffinity(0, sizeof(one), &one) == 0);
}

CASE(the_library_has_registered)
{
    CHECK(__rseq_size >= 20); /* some say how much of it they know */
    CHECK((int)mine()->cpu_id >= 0);
    CHECK_EQ(mine()->cpu_id, mine()->cpu_id_start);
}

CASE(the_cpu_in_memory_is_the_one_it_runs_on)
{
    cpu_set_t all;

    NEED(sched_getaffinity(0, sizeof(all), &all) == 0);
    for (int round = 0; round < 3; round++) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            unsigned seen = ~0u;
            if (!CPU_ISSET(cpu, &all))
                continue;
            run_on(cpu);
            CHECK_EQ(syscall(SYS_getcpu, &seen, NULL, NULL), 0);
            CHECK_EQ(seen, cpu);
            CHECK_EQ(mine()->cpu_id, cpu);
            CHECK_EQ(mine()->cpu_id_start, cpu);
        }
    }
    CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
}

static long rseq(void *area, unsigned len, int flags, unsigned sig)
{
    return syscall(SYS_rseq, area, len, flags, sig);
}

static void *register_my_own(void *arg)
{
    static _Alignas(32) char bytes[96];

    CHECK_EQ(rseq(mine(), 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG), 0);
    CHECK_EQ((int)mine()->cpu_id, RSEQ_CPU_ID_UNINITIALIZED);
    CHECK_ERR(rseq(mine(), 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG), EINVAL);
    CHECK_ERR(rseq(bytes, 32, 2, 1), EINVAL);
    CHECK_ERR(rseq(bytes + 16, 32, 0, 1), EINVAL);
    CHECK_ERR(rseq(bytes, 16, 0, 1), EINVAL);
    CHECK_ERR(rseq((void *)(1ul << 63), 32, 0, 1), EFAULT);
    CHECK_EQ(rseq(bytes, 32, 0, 1), 0);
    CHECK_ERR(rseq(bytes, 32, 0, 1), EBUSY);
    CHECK_ERR(rseq(bytes, 32, 0, 2), EPERM);
    CHECK_ERR(rseq(bytes + 32, 32, 0, 1), EINVAL);
    CHECK_ERR(rseq(bytes, 32, RSEQ_FLAG_UNREGISTER, 2), EPERM);
    CHECK_ERR(rseq(bytes + 32, 32, RSEQ_FLAG_UNREGISTER, 1), EINVAL);
    CHECK_EQ(rseq(bytes, 32, RSEQ_FLAG_UNREGISTER, 1), 0);
    return arg;
}

CASE(one_registration_a_thread)
{
    pthread_t thread;

    NEED(pthread_create(&thread, NULL, register_my_own, NULL) == 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Add one to @counters[@cpu] with a long time between load and store, if nothing comes between. */
static bool __attribute__((noinline)) add_slowly(long *counters, unsigned cpu)
{
    struct rseq *r = mine();
    long *word = &counters[cpu];

    __asm__ volatile goto(".pushsection .data.rseq_cs, \"aw\"\n"
                          ".balign 32\n"
                          "3: .long 0, 0\n"
                          ".quad 1f, 2f - 1f, 4f\n"
                          ".popsection\n"
                          "leaq 3b(%%rip), %%rax\n"
                          "movq %%rax, %[cs]\n"
                          "1: cmpl %[cpu], %[id]\n"
                          "jne 4f\n"
                          "movq (%[word]), %%rax\n"
                          "movl %[spins], %%ecx\n"
                          "5: decl %%ecx\n"
                          "jnz 5b\n"
                          "incq %%rax\n"
                          "movq %%rax, (%[word])\n"
                          "2: jmp 6f\n"
                          ".byte 0x0f, 0xb9, 0x3d\n" /* ud1 of the signature: never reached */
                          ".long %c[sig]\n"
                          "4: jmp %l[aborted]\n"
                          "6:"
                          :
                          : [cs] "m"(r->rseq_cs), [id] "m"(r->cpu_id), [cpu] "r"(cpu),
                            [word] "r"(word), [spins] "i"(SPINS), [sig] "i"(RSEQ_SIG)
                          : "rax", "rcx", "memory", "cc"
                          : aborted);
    return true;
aborted:
    return false;
}

static long counters[CPU_SETSIZE];
static int aborts;
static int only_cpu; /* or -1: where they will */

static void *count(void *arg)
{
    if (only_cpu >= 0)
        run_on(only_cpu);
    for (int i = 0; i < ROUNDS; i++)
        while (!add_slowly(counters, mine()->cpu_id_start))
            __atomic_fetch_add(&aborts, 1, __ATOMIC_RELAXED);
    return arg;
}

static void count_on(int cpu)
{
    pthread_t threads[THREADS];
    long sum = 0;

    memset(counters, 0, sizeof(counters));
    aborts = 0;
    only_cpu = cpu;
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, count, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < COUNT(counters); i++)
        sum += counters[i];
    CHECK_EQ(sum, THREADS * ROUNDS);
}

CASE(threads_of_one_cpu_do_not_lose_counts)
{
    int cpu = sched_getcpu();

    count_on(cpu);
    for (int i = 0; i < 100 && !aborts; i++) /* each may end before the next one's turn */
        count_on(cpu);
    CHECK(aborts > 0);
}

CASE(threads_of_all_cpus_do_not_lose_counts)
{
    count_on(-1);
}

static volatile int alarms;

static void on_alarm(int sig)
{
    (void)sig;
    alarms++;
    counters[0] = 0;
    counters[mine()->cpu_id] = 0; /* what a section has read is stale now */
}

CASE(a_handler_ends_the_section_it_came_into)
{
    const struct itimerval often = {{0, 1500}, {0, 1500}}, never = {{0, 0}, {0, 0}};
    int lost = 0;

    signal(SIGALRM, on_alarm);
    memset(counters, 0, sizeof(counters));
    aborts = alarms = 0;
    NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (int i = 0; alarms < 20 && i < 1000000; i++) {
        int before = alarms;
        if (!add_slowly(counters, mine()->cpu_id_start))
            aborts++;
        else if (alarms != before)
            lost++; /* between two instructions outside the section, at most */
    }
    NEED(setitimer(ITIMER_REAL, &never, NULL) == 0);
    signal(SIGALRM, SIG_DFL);
    CHECK(aborts > 0);
    CHECK(lost < aborts + 5);
}
