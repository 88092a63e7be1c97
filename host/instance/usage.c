#include "instance/usage.h"

#include "instance/guest.h"
#include "instance/tree.h"
#include "lib/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MS = 1000,
    KIB_BYTES = 1024,
    SECTOR_BYTES = 512,
};

const struct guest_figure_info guest_figures[NR_GUEST_FIGURES] = {
    [GUEST_MEMORY_TOTAL] = {"MemoryTotalBytes", "memory_total_bytes", "Memory that the guest has.",
                            false},
    [GUEST_MEMORY_FREE] = {"MemoryFreeBytes", "memory_free_bytes", "Memory that nobody uses.",
                           false},
    [GUEST_MEMORY_AVAILABLE] = {"MemoryAvailableBytes", "memory_available_bytes",
                                "Memory that programs can still get.", false},
    [GUEST_MEMORY_CACHED] = {"PageCacheBytes", "page_cache_bytes", "Pages of files.", false},
    [GUEST_MEMORY_PROGRAMS] = {"AnonymousBytes", "anonymous_bytes",
                               "Pages that programs have written to.", false},
    [GUEST_MEMORY_KERNEL_HEAP] = {"KernelHeapBytes", "kernel_heap_bytes",
                                  "Heap of the guest's kernel.", false},
    [GUEST_CPU_USER] = {"CPUUserHundredths", "cpu_seconds_total{mode=\"user\"}",
                        "Time of the guest's CPUs.", true},
    [GUEST_CPU_SYSTEM] = {"CPUSystemHundredths", "cpu_seconds_total{mode=\"system\"}", NULL, true},
    [GUEST_CPU_IDLE] = {"CPUIdleHundredths", "cpu_seconds_total{mode=\"idle\"}", NULL, true},
    [GUEST_RUNNABLE] = {"RunnableThreads", "runnable_threads",
                        "Threads that run or wait for a CPU.", false},
    [GUEST_THREADS] = {"Threads", "threads", "Threads that there are.", false},
    [GUEST_DISK_READS] = {"DiskReads", "disk_reads_total", "Reads of disks.", true},
    [GUEST_DISK_READ_BYTES] = {"DiskReadBytes", "disk_read_bytes_total", "Bytes read from disks.",
                               true},
    [GUEST_DISK_WRITES] = {"DiskWrites", "disk_writes_total", "Writes to disks.", true},
    [GUEST_DISK_WRITTEN_BYTES] = {"DiskWrittenBytes", "disk_written_bytes_total",
                                  "Bytes written to disks.", true},
    [GUEST_NET_RX_BYTES] = {"NetworkReceivedBytes", "network_receive_bytes_total",
                            "Bytes from the network.", true},
    [GUEST_NET_RX_PACKETS] = {"NetworkReceivedPackets", "network_receive_packets_total",
                              "Packets from the network.", true},
    [GUEST_NET_RX_DROPPED] = {"NetworkDroppedPackets", "network_receive_drop_total",
                              "Packets that were dropped.", true},
    [GUEST_NET_TX_BYTES] = {"NetworkSentBytes", "network_transmit_bytes_total",
                            "Bytes to the network.", true},
    [GUEST_NET_TX_PACKETS] = {"NetworkSentPackets", "network_transmit_packets_total",
                              "Packets to the network.", true},
    [GUEST_TCP_CONNECTIONS] = {"TCPConnections", "tcp_connections",
                               "TCP connections that are open.", false},
    [GUEST_TCP_RX_SEGMENTS] = {"TCPReceivedSegments", "tcp_receive_segments_total",
                               "TCP segments received.", true},
    [GUEST_TCP_TX_SEGMENTS] = {"TCPSentSegments", "tcp_transmit_segments_total",
                               "TCP segments sent.", true},
    [GUEST_TCP_RETRANSMITTED] = {"TCPRetransmittedSegments", "tcp_retransmitted_segments_total",
                                 "TCP segments sent again.", true},
};

/* The next number from @at on; 0: the line has none. */
static u64 number_after(const char *at)
{
    at += strcspn(at, "0123456789\n");
    return strtoull(at, NULL, 10);
}

/* Behind the line's first word @key. */
static const char *find_line(const char *text, const char *key)
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += strspn(line, "\n ");
        if (str_starts(line, key))
            return line + strlen(key);
    }
    return "";
}

/* Word @index behind @at, as a number. */
static u64 word_at(const char *at, unsigned index)
{
    for (at += strspn(at, " "); index; index--) {
        at += strcspn(at, " \n");
        at += strspn(at, " ");
    }
    return strtoull(at, NULL, 10);
}

static void take_meminfo(const char *text, u64 *figures)
{
    static const struct {
        enum guest_figure figure;
        const char *key;
    } lines[] = {
        {GUEST_MEMORY_TOTAL, "MemTotal:"},         {GUEST_MEMORY_FREE, "MemFree:"},
        {GUEST_MEMORY_AVAILABLE, "MemAvailable:"}, {GUEST_MEMORY_CACHED, "Cached:"},
        {GUEST_MEMORY_PROGRAMS, "AnonPages:"},     {GUEST_MEMORY_KERNEL_HEAP, "Slab:"},
    };

    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        figures[lines[i].figure] = number_after(find_line(text, lines[i].key)) * KIB_BYTES;
}

static void take_stat(const char *text, u64 *figures)
{
    const char *cpu = find_line(text, "cpu ");

    figures[GUEST_CPU_USER] = word_at(cpu, 0) + word_at(cpu, 1);
    figures[GUEST_CPU_SYSTEM] = word_at(cpu, 2);
    figures[GUEST_CPU_IDLE] = word_at(cpu, 3);
}

/* "0.00 0.00 0.00 1/5 7" */
static void take_loadavg(const char *text, u64 *figures)
{
    const char *slash = strchr(text, '/');
    const char *running = slash;

    while (running && running > text && running[-1] != ' ')
        running--;
    figures[GUEST_RUNNABLE] = running ? strtoull(running, NULL, 10) : 0;
    figures[GUEST_THREADS] = slash ? strtoull(slash + 1, NULL, 10) : 0;
}

/* "vda", "nvme0n1"; and not their partitions, "vda1" and "nvme0n1p1". */
static bool is_whole_disk(const char *name, size_t len)
{
    if (str_starts(name, "nvme"))
        return !memchr(name, 'p', len);
    return len && (name[len - 1] < '0' || name[len - 1] > '9');
}

/* A line a disk: two numbers and its name, then reads, merges, sectors, time, and of writes as
 * many. */
static void take_diskstats(const char *text, u64 *figures)
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        char name[32];
        int at = 0;
        line += strspn(line, "\n");
        if (sscanf(line, "%*u %*u %31s%n", name, &at) != 1 || !is_whole_disk(name, strlen(name)))
            continue;
        figures[GUEST_DISK_READS] += word_at(line + at, 0);
        figures[GUEST_DISK_READ_BYTES] += word_at(line + at, 2) * SECTOR_BYTES;
        figures[GUEST_DISK_WRITES] += word_at(line + at, 4);
        figures[GUEST_DISK_WRITTEN_BYTES] += word_at(line + at, 6) * SECTOR_BYTES;
    }
}

/* All interfaces but the loopback: "  eth0: 8 words received, 8 sent". */
static void take_net(const char *text, u64 *figures)
{
    for (const char *line = strchr(text, '\n'); line; line = strchr(line, '\n')) {
        line += strspn(line, "\n ");
        const char *colon = strpbrk(line, ":\n");
        if (!colon || *colon != ':' || str_starts(line, "lo:"))
            continue;
        figures[GUEST_NET_RX_BYTES] += word_at(colon + 1, 0);
        figures[GUEST_NET_RX_PACKETS] += word_at(colon + 1, 1);
        figures[GUEST_NET_RX_DROPPED] += word_at(colon + 1, 3);
        figures[GUEST_NET_TX_BYTES] += word_at(colon + 1, 8);
        figures[GUEST_NET_TX_PACKETS] += word_at(colon + 1, 9);
    }
}

/* The second of two lines "Tcp:": names, then numbers. */
static void take_snmp(const char *text, u64 *figures)
{
    const char *numbers = find_line(find_line(text, "Tcp:"), "Tcp:");

    figures[GUEST_TCP_CONNECTIONS] = word_at(numbers, 8);
    figures[GUEST_TCP_RX_SEGMENTS] = word_at(numbers, 9);
    figures[GUEST_TCP_TX_SEGMENTS] = word_at(numbers, 10);
    figures[GUEST_TCP_RETRANSMITTED] = word_at(numbers, 11);
}

static bool ask_guest(const struct instance *instance, u64 *figures)
{
    static const struct {
        const char *request;
        void (*take)(const char *text, u64 *figures);
    } files[] = {
        {"cat /proc/meminfo", take_meminfo}, {"cat /proc/stat", take_stat},
        {"cat /proc/loadavg", take_loadavg}, {"cat /proc/net/dev", take_net},
        {"cat /proc/net/snmp", take_snmp},   {"cat /proc/diskstats", take_diskstats},
    };

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf text CLEANUP(buf_free) = {0};
        if (guest_ask(instance, files[i].request, ANSWER_MS, &text, NULL))
            return false;
        files[i].take(buf_text(&text), figures);
    }
    return true;
}

bool usage_read(const char *name, struct usage *usage)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct instance_state state;
    struct tree tree CLEANUP(tree_fini) = {0};

    if (instance_open(&instance, name, NULL))
        return false;
    instance_get_state(&instance, &state);
    if (!instance_is_live(&instance) || state.pid <= 0)
        return false;
    tree_read(state.pid, &tree);
    tree_measure(&tree);
    *usage = (struct usage){.name = str_dup(name), .processes = tree.len, .at_ms = ticks_ms()};
    for (size_t i = 0; i < tree.len; i++) {
        usage->cpu_ticks += tree.at[i].cpu_ticks;
        usage->pss_bytes += tree.at[i].pss_bytes;
        usage->read_bytes += tree.at[i].read_bytes;
        usage->written_bytes += tree.at[i].written_bytes;
    }
    usage->guest = state.status == INSTANCE_RUNNING && ask_guest(&instance, usage->figures);
    return true;
}

void usage_fini(struct usage *usage)
{
    mem_free(&usage->name);
}
