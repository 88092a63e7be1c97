/* What an instance uses of this machine, and what its guest's kernel counts inside. */
#pragma once

#include "instance/instance.h"
#include "lib/types.h"

enum guest_figure {
    GUEST_MEMORY_TOTAL,
    GUEST_MEMORY_FREE,
    GUEST_MEMORY_AVAILABLE,
    GUEST_MEMORY_CACHED,
    GUEST_MEMORY_PROGRAMS,
    GUEST_MEMORY_KERNEL_HEAP,
    GUEST_CPU_USER,
    GUEST_CPU_SYSTEM,
    GUEST_CPU_IDLE,
    GUEST_RUNNABLE,
    GUEST_THREADS,
    GUEST_DISK_READS,
    GUEST_DISK_READ_BYTES,
    GUEST_DISK_WRITES,
    GUEST_DISK_WRITTEN_BYTES,
    GUEST_NET_RX_BYTES,
    GUEST_NET_RX_PACKETS,
    GUEST_NET_RX_DROPPED,
    GUEST_NET_TX_BYTES,
    GUEST_NET_TX_PACKETS,
    GUEST_TCP_CONNECTIONS,
    GUEST_TCP_RX_SEGMENTS,
    GUEST_TCP_TX_SEGMENTS,
    GUEST_TCP_RETRANSMITTED,
    NR_GUEST_FIGURES
};

struct guest_figure_info {
    const char *json;       /* "MemoryTotalBytes" */
    const char *prometheus; /* "memory_total_bytes", with labels where it has some */
    const char *help;
    bool counter; /* only grows; else a gauge */
};

/** By enum guest_figure: what each is called and how it is shown. */
extern const struct guest_figure_info guest_figures[NR_GUEST_FIGURES];

/** Sums over the processes of an instance, its supervisor among them; CPU in ticks of the system's
 * clock.  Figures of the guest are bytes, pieces, or for CPU hundredths of a second. */
struct usage {
    char *name; /* owned */
    u64 cpu_ticks, pss_bytes, read_bytes, written_bytes;
    u64 at_ms;
    size_t processes;
    bool guest; /* it answered, so there are figures */
    u64 figures[NR_GUEST_FIGURES];
};

/** Look at the instance @name.  False: it does not run.  A guest that does not answer at once has
 * no figures. */
bool usage_read(const char *name, struct usage *usage);

/** Free it. */
void usage_fini(struct usage *usage);
