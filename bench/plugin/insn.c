/* A TCG plugin that counts guest instructions, one by one, in three parts by where they lie:
 * `kernel` in the upper half of the address space, `user` in the lower half, and `early` in the
 * lower half before the first instruction of the upper half (firmware, and the kernel before it has
 * its page tables).  The address decides, not the ring, since Ingot's programs run in ring 0.
 *
 *     -plugin libinsn.so,out=FILE[,entry=ADDRESS][,program=ADDRESS][,control=FIFO][,profile=on]
 *
 * FILE has one line a figure, in the order of events:
 *     at NAME EARLY KERNEL USER     the counters when NAME was reached, that instruction not
 *         counted: `entry` (the address given), `kernel`, `user` (the first of each part), `end`,
 *         `mark-ID` for each marker.h point, and each line that somebody writes to the FIFO, at
 *         once: for guests that execute no markers
 *     distinct EARLY KERNEL USER    different instruction addresses ever translated
 * With profile=on each line of the FIFO, the program's first instruction, each mark and the end
 * also write FILE.NAME: `ADDRESS COUNT` of every kernel instruction so far, for bench/profile.py.
 *
 * An iteration of a `rep` instruction counts as one.  One virtual CPU only: version 1 of the
 * interface shares an inline counter between CPUs. */
#include "plugin_abi.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "marker.h"

enum part { EARLY, KERNEL, USER, PARTS };

PLUGIN_EXPORT extern int qemu_plugin_version;
PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                      char **argv);
int qemu_plugin_version = PLUGIN_ABI_VERSION;

static uint64_t counts[PARTS];
static uint64_t distinct[PARTS];
static uint64_t entry, program;
static bool entry_seen, program_seen, kernel_seen, user_seen;
static FILE *out;
static const char *out_path;
static const char *control;
static bool profiling;

/* The addresses translated so far: open addressing, a power of two of slots, 0 is free. */
static uint64_t *seen;
static size_t seen_slots, seen_count;

static void note(const char *name)
{
    fprintf(out, "at %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", name, counts[EARLY], counts[KERNEL],
            counts[USER]);
}

static bool seen_insert(uint64_t *table, size_t slots, uint64_t address)
{
    size_t slot = (address * 0x9e3779b97f4a7c15) >> 20 & (slots - 1);
    for (; table[slot]; slot = (slot + 1) & (slots - 1))
        if (table[slot] == address)
            return false;
    table[slot] = address;
    return true;
}

static void seen_grow(void)
{
    size_t slots = seen_slots ? seen_slots * 2 : 1 << 16;
    uint64_t *table = calloc(slots, sizeof(*table));
    if (!table)
        abort();
    for (size_t i = 0; i < seen_slots; i++)
        if (seen[i])
            seen_insert(table, slots, seen[i]);
    free(seen);
    seen = table;
    seen_slots = slots;
}

static bool is_first_sight(uint64_t address)
{
    if (seen_count * 2 >= seen_slots)
        seen_grow();
    bool first = seen_insert(seen, seen_slots, address);
    seen_count += first;
    return first;
}

/* How often each kernel instruction ran, found by its address.  The counters stay where they are:
 * translated code adds to them. */
struct tally {
    uint64_t address, count;
    struct tally *next;
};
enum { TALLY_BUCKETS = 1 << 16 };
static struct tally *tallies[TALLY_BUCKETS];
static pthread_mutex_t tally_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t *tally_of(uint64_t address)
{
    struct tally **bucket = &tallies[address % TALLY_BUCKETS], *tally;

    pthread_mutex_lock(&tally_lock);
    for (tally = *bucket; tally && tally->address != address; tally = tally->next)
        ;
    if (!tally) {
        tally = calloc(1, sizeof(*tally));
        if (!tally)
            abort();
        tally->address = address;
        tally->next = *bucket;
        *bucket = tally;
    }
    pthread_mutex_unlock(&tally_lock);
    return &tally->count;
}

static void write_profile(const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s.%s", out_path, name);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        return;
    }
    pthread_mutex_lock(&tally_lock);
    for (size_t i = 0; i < TALLY_BUCKETS; i++)
        for (const struct tally *tally = tallies[i]; tally; tally = tally->next)
            fprintf(file, "%" PRIx64 " %" PRIu64 "\n", tally->address, tally->count);
    pthread_mutex_unlock(&tally_lock);
    fclose(file);
}

static enum part part_of(uint64_t address)
{
    if (address >> 63)
        return KERNEL;
    return kernel_seen ? USER : EARLY;
}

/* A block is translated right before it first runs, when the counters hold all that ran before. */
static void note_firsts(uint64_t address)
{
    if (!entry_seen && entry && address == entry) {
        entry_seen = true;
        note("entry");
    }
    if (kernel_seen && !program_seen && program && address == program) {
        program_seen = true;
        note("program");
        if (profiling)
            write_profile("program");
    }
    if (!kernel_seen && address >> 63) {
        kernel_seen = true;
        note("kernel");
    }
    if (kernel_seen && !user_seen && !(address >> 63)) {
        user_seen = true;
        note("user");
    }
}

static void on_marker(unsigned int vcpu_index, void *userdata)
{
    char name[32];
    (void)vcpu_index;
    snprintf(name, sizeof(name), "mark-%" PRIuPTR, (uintptr_t)userdata);
    if (profiling)
        write_profile(name);
    note(name);
}

/* The id of a marker, or -1. */
static int marker_of(const struct qemu_plugin_insn *insn)
{
    static const unsigned char nopl[] = {0x0f, 0x1f, 0x80};
    const unsigned char *bytes = qemu_plugin_insn_data(insn);
    if (qemu_plugin_insn_size(insn) != 7 || memcmp(bytes, nopl, sizeof(nopl)))
        return -1;
    if ((bytes[5] | bytes[6] << 8) != MARKER_TAG)
        return -1;
    return bytes[3] | bytes[4] << 8;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        if (i == 0)
            note_firsts(address);
        enum part part = part_of(address);
        distinct[part] += is_first_sight(address);
        int marker = marker_of(insn);
        if (marker >= 0)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)marker);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &counts[part],
                                                   1);
        if (profiling && part != USER)
            qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                       tally_of(address), 1);
    }
}

/* Opened for writing too, so that it never ends.  The processor goes on meanwhile: the counters are
 * exact where it is idle, which is where they are asked for. */
static void *serve_control(void *arg)
{
    char line[64];
    FILE *lines = fopen(control, "r+");

    if (!lines) {
        perror(control);
        abort();
    }
    while (fgets(line, sizeof(line), lines)) {
        line[strcspn(line, "\n")] = '\0';
        if (profiling)
            write_profile(line);
        note(line);
        fflush(out);
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

static void on_end(qemu_plugin_id_t id, void *userdata)
{
    (void)id, (void)userdata;
    note("end");
    if (profiling)
        write_profile("end");
    fprintf(out, "distinct %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", distinct[EARLY],
            distinct[KERNEL], distinct[USER]);
    fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    if (!info->system_emulation || info->system.smp_vcpus != 1) {
        fprintf(stderr, "insn: counts one virtual CPU of a whole machine\n");
        return -1;
    }
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(out_path = strdup(argv[i] + 4), "w");
        else if (!strncmp(argv[i], "entry=", 6))
            entry = strtoull(argv[i] + 6, NULL, 0);
        else if (!strncmp(argv[i], "program=", 8))
            program = strtoull(argv[i] + 8, NULL, 0);
        else if (!strcmp(argv[i], "profile=on"))
            profiling = true;
        else if (!strncmp(argv[i], "control=", 8))
            control = strdup(argv[i] + 8);
    }
    if (!out) {
        fprintf(stderr, "insn: out=FILE is missing or cannot be written\n");
        return -1;
    }
    if (control && !start_control()) {
        fprintf(stderr, "insn: no thread for %s\n", control);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
