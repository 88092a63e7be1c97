/* Instructions of each virtual CPU:
 *     -plugin cpus.so,out=FILE[,control=FIFO]
 * writes a line at each marker.h point and for each line that somebody writes to the FIFO, and one
 * when the machine ends: mark ID CPU  KERNEL WAIT USER of cpu 0, of cpu 1, ...     CPU executed the
 * marker at LINE  KERNEL WAIT USER of cpu 0, ... cpu NUMBER ALL BEFORE_THE_FIRST_HALT KERNEL is the
 * upper half of the address space, USER the lower.  WAIT is that part of the upper half which lies
 * beside a PAUSE: loops in which a CPU looks for work, a lock or an answer, whose number says how
 * busy the host is rather than what was done. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "marker.h"
#include "plugin_abi.h"

enum { MAX_CPUS = 64, HLT = 0xf4, BESIDE = 40, BUCKETS = 1 << 14, BUCKET_SHIFT = 6 };
enum part { KERNEL, WAIT, USER, PARTS };

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_ABI_VERSION;
PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                      char **argv);

/* An instruction that was translated; its part changes when a PAUSE turns up beside it. */
struct place {
    uint64_t address;
    enum part part;
    struct place *next;
};

static FILE *out;
static const char *control;
static int nr_cpus;
/* Each by its own CPU, in lines of the cache of its own: else the CPUs would wait for each other at
 * every instruction, and locks be held longer than they are. */
static struct {
    uint64_t parts[PARTS], halt;
} __attribute__((aligned(128))) counts[MAX_CPUS];
static struct place *places[BUCKETS]; /* by address >> BUCKET_SHIFT */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct place **bucket_of(uint64_t address)
{
    return &places[(address >> BUCKET_SHIFT) % BUCKETS];
}

static uint64_t all_of(unsigned int cpu)
{
    const uint64_t *parts = counts[cpu].parts;

    return parts[KERNEL] + parts[WAIT] + parts[USER];
}

static void on_insn(unsigned int cpu, void *userdata)
{
    const struct place *place = userdata;

    if (cpu < MAX_CPUS)
        counts[cpu].parts[place->part]++;
}

/* A block of the program's; the few that end in a fault are counted whole. */
static void on_user_block(unsigned int cpu, void *userdata)
{
    if (cpu < MAX_CPUS)
        counts[cpu].parts[USER] += (uintptr_t)userdata;
}

static void on_halt(unsigned int cpu, void *userdata)
{
    (void)userdata;
    if (cpu < MAX_CPUS && !counts[cpu].halt)
        counts[cpu].halt = all_of(cpu);
}

static void write_counts(void)
{
    for (int i = 0; i < nr_cpus; i++)
        fprintf(out, " %" PRIu64 " %" PRIu64 " %" PRIu64, counts[i].parts[KERNEL],
                counts[i].parts[WAIT], counts[i].parts[USER]);
    fputc('\n', out);
}

static void on_marker(unsigned int cpu, void *userdata)
{
    pthread_mutex_lock(&lock);
    fprintf(out, "mark %" PRIuPTR " %u", (uintptr_t)userdata, cpu);
    write_counts();
    pthread_mutex_unlock(&lock);
}

/* Opened for writing too, so that it never ends. */
static void *serve_control(void *arg)
{
    char line[64];
    FILE *lines = fopen(control, "r+");

    while (lines && fgets(line, sizeof(line), lines)) {
        line[strcspn(line, "\n")] = '\0';
        pthread_mutex_lock(&lock);
        fprintf(out, "at %s", line);
        write_counts();
        fflush(out);
        pthread_mutex_unlock(&lock);
    }
    return arg;
}

/* Signals stay with the emulator's own threads. */
static bool start_control(void)
{
    pthread_t thread;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, serve_control, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !error;
}

/* The id of a marker, or -1. */
static int marker_of(const unsigned char *bytes, size_t size)
{
    static const unsigned char nopl[] = {0x0f, 0x1f, 0x80};

    if (size != 7 || memcmp(bytes, nopl, sizeof(nopl)) || (bytes[5] | bytes[6] << 8) != MARKER_TAG)
        return -1;
    return bytes[3] | bytes[4] << 8;
}

/* All known instructions beside the PAUSE at @address wait too. */
static void note_pause(uint64_t address)
{
    for (uint64_t at = address - BESIDE; at <= address + BESIDE + (1 << BUCKET_SHIFT);
         at += 1 << BUCKET_SHIFT)
        for (struct place *place = *bucket_of(at); place; place = place->next)
            if (place->address - (address - BESIDE) <= 2 * BESIDE && place->part == KERNEL)
                place->part = WAIT;
}

static struct place *place_of(uint64_t address)
{
    struct place **bucket = bucket_of(address), *place;

    for (place = *bucket; place && place->address != address; place = place->next)
        ;
    if (place)
        return place;
    place = calloc(1, sizeof(*place));
    if (!place)
        abort();
    place->address = address;
    place->part = KERNEL;
    place->next = *bucket;
    *bucket = place;
    return place;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    bool user = !(qemu_plugin_tb_vaddr(tb) >> 63);

    pthread_mutex_lock(&lock);
    if (user)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_user_block, QEMU_PLUGIN_CB_NO_REGS,
                                             (void *)(uintptr_t)n);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const unsigned char *bytes = qemu_plugin_insn_data(insn);
        size_t size = qemu_plugin_insn_size(insn);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        int marker = marker_of(bytes, size);

        if (marker >= 0)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)marker);
        if (user)
            continue;
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS,
                                               place_of(address));
        if (size == 1 && bytes[0] == HLT)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_halt, QEMU_PLUGIN_CB_NO_REGS, NULL);
        if (size == 2 && bytes[0] == 0xf3 && bytes[1] == 0x90)
            note_pause(address);
    }
    pthread_mutex_unlock(&lock);
}

static void on_end(qemu_plugin_id_t id, void *userdata)
{
    (void)id, (void)userdata;
    for (unsigned int i = 0; i < MAX_CPUS; i++)
        if (all_of(i))
            fprintf(out, "cpu %u %" PRIu64 " %" PRIu64 "\n", i, all_of(i), counts[i].halt);
    fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
        else if (!strncmp(argv[i], "control=", 8))
            control = strdup(argv[i] + 8);
    if (!out || (control && !start_control()))
        return -1;
    nr_cpus = info->system.smp_vcpus < MAX_CPUS ? info->system.smp_vcpus : MAX_CPUS;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
