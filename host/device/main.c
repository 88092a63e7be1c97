/* The device process: plays the virtio devices of a guest that runs as a sandboxed process.
 *
 *   ingot-device BYTES-OF-MEMORY DEVICE...
 *
 * Descriptors: 2 takes complaints, 3 the guest's memory with the window behind it (abi/window.h),
 * 4 the pipe of interrupts, 5 a pidfd of the sandbox, 6 and up the doorbells, a device each, then
 * whatever DEVICEs name: "tap=FD", "user", "disk=FD", "disk-ro=FD", "share=FD", "share-ro=FD" (a
 * folder, O_PATH), in the order of the window.
 * Words for the network: "tcp=IP:PORT:GUEST-PORT", "udp=…", "pcap=FD".  "layer=FD", the lowest
 * first: a file of the image, which the guest has behind its memory.
 *
 * It ends with the guest (status 0), or where it cannot start (1), which it says in one line. */
#include "abi/hosted.h"
#include "device/net.h"
#include "device/share.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FD_MEMORY = 3, FD_IRQ, FD_PIDFD, FD_DOORBELLS, MAX_LAYERS = 16 };

struct plan {
    u64 memory_bytes;
    bool user;
    int tap, pcap;
    int layers[MAX_LAYERS];
    u32 nr_layers;
    u32 net_index;
    u32 nr_devices, nr_disks, nr_shares, nr_ports;
    struct disk disks[WINDOW_MAX_DEVICES];
    struct share *shares[WINDOW_MAX_DEVICES];
    struct confine_folder folders[WINDOW_MAX_DEVICES];
    struct user_port *ports;
};

static _Noreturn void fail(const char *what, int code)
{
    fprintf(stderr, "ingot-device: %s%s%s\n", what, code ? ": " : "", code ? strerror(code) : "");
    exit(1);
}

static void add_port(struct plan *plan, const char *word, bool udp)
{
    struct user_port port = {.udp = udp};
    unsigned host, guest;

    if (sscanf(word, "%47[0-9.]:%u:%u", port.ip, &host, &guest) != 3)
        fail("not for calling by hand", 0);
    port.host = (u16)host;
    port.guest = (u16)guest;
    plan->ports = reallocarray(plan->ports, plan->nr_ports + 1, sizeof(port));
    if (!plan->ports)
        fail("no memory", 0);
    plan->ports[plan->nr_ports++] = port;
}

static void add_disk(struct plan *plan, int fd, bool readonly)
{
    if (plan->nr_devices == WINDOW_MAX_DEVICES)
        fail("too many devices", 0);
    struct disk *disk = &plan->disks[plan->nr_disks++];
    disk->fd = fd;
    disk->readonly = readonly;
    disk->dev.index = plan->nr_devices++;
}

static void add_share(struct plan *plan, int fd, bool readonly)
{
    struct share *share = calloc(1, sizeof(*share));

    if (!share)
        fail("no memory", 0);
    if (plan->nr_devices == WINDOW_MAX_DEVICES)
        fail("too many devices", 0);
    share->root = fd;
    share->readonly = readonly;
    share->dev.index = plan->nr_devices++;
    plan->folders[plan->nr_shares] = (struct confine_folder){fd, readonly};
    plan->shares[plan->nr_shares++] = share;
}

static void read_word(struct plan *plan, const char *word)
{
    const char *value = strchr(word, '=');
    int fd = value ? atoi(value + 1) : -1;

    if (!strcmp(word, "user") || !strncmp(word, "tap=", 4)) {
        plan->user = !value;
        plan->tap = fd;
        plan->net_index = plan->nr_devices++;
    } else if (!strncmp(word, "pcap=", 5))
        plan->pcap = fd;
    else if (!strncmp(word, "tcp=", 4) || !strncmp(word, "udp=", 4))
        add_port(plan, value + 1, *word == 'u');
    else if (!strncmp(word, "layer=", 6) && plan->nr_layers < MAX_LAYERS)
        plan->layers[plan->nr_layers++] = fd;
    else if (!strncmp(word, "disk=", 5) || !strncmp(word, "disk-ro=", 8))
        add_disk(plan, fd, word[4] == '-');
    else if (!strncmp(word, "share=", 6) || !strncmp(word, "share-ro=", 9))
        add_share(plan, fd, word[5] == '-');
    else
        fail("not for calling by hand", 0);
}

static u64 file_size(int fd)
{
    struct stat st;

    if (fstat(fd, &st))
        fail("a descriptor is not there", errno);
    return (u64)st.st_size;
}

static void *map(void *at, u64 len, int prot, int flags, int fd, u64 offset)
{
    void *got = mmap(at, len, prot, flags | MAP_NORESERVE, fd, (off_t)offset);

    if (got == MAP_FAILED)
        fail("no room for the guest's memory", errno);
    return got;
}

/* The files of the image, one behind the other, as the tender has them. */
static void map_layers(struct guest_memory *memory, const struct plan *plan)
{
    memory->layers_start = memory->layers_end = hosted_layers_at(memory->len);
    for (u32 i = 0; i < plan->nr_layers; i++) {
        u64 len = ALIGN_UP(file_size(plan->layers[i]), (u64)WINDOW_PAGE);
        if (len)
            map(memory->at + memory->layers_end, len, PROT_READ, MAP_PRIVATE | MAP_FIXED,
                plan->layers[i], 0);
        memory->layers_end += len;
    }
}

static u64 layers_bytes(const struct plan *plan)
{
    u64 bytes = 2 * HOSTED_PLACE_ALIGN; /* hosted_layers_at() */

    for (u32 i = 0; i < plan->nr_layers; i++)
        bytes += ALIGN_UP(file_size(plan->layers[i]), (u64)WINDOW_PAGE);
    return bytes;
}

/* The window lies behind the memory in its file, and is no place for buffers. */
static void map_guest(struct guest *guest, const struct plan *plan)
{
    u64 bytes = ALIGN_UP(plan->memory_bytes, (u64)WINDOW_PAGE);
    u64 window = window_bytes(plan->nr_devices);

    if (file_size(FD_MEMORY) < bytes + window)
        fail("not for calling by hand", 0);
    *guest = (struct guest){
        .memory.at =
            map(NULL, bytes + layers_bytes(plan), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        .memory.len = bytes,
        .window = map(NULL, window, PROT_READ | PROT_WRITE, MAP_SHARED, FD_MEMORY, bytes),
        .nr_devices = plan->nr_devices,
        .irq_fd = FD_IRQ,
        .pidfd = FD_PIDFD,
        .words = stderr,
    };
    map(guest->memory.at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, FD_MEMORY, 0);
    map_layers(&guest->memory, plan);
}

static void make_quick(int fd)
{
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); /* an open descriptor has flags */
}

static struct net *make_net(struct guest *guest, const struct plan *plan)
{
    struct net *net = calloc(1, sizeof(*net));

    if (!net)
        fail("no memory", 0);
    device_init(&net->dev, guest, plan->net_index, "net", FD_DOORBELLS + (int)plan->net_index);
    net->tap = plan->tap;
    net->pcap = plan->pcap;
    if (net->pcap >= 0 && pcap_start(net->pcap))
        fail("--pcap", errno);
    if (net->tap >= 0) {
        int err = tap_prepare(net->tap);
        if (err)
            fail("--net: the tap", -err);
        make_quick(net->tap);
    } else if (!(net->user = user_create(net, plan->ports, plan->nr_ports)))
        exit(1);
    return net;
}

static void init_disk(struct guest *guest, struct disk *disk)
{
    u32 index = disk->dev.index;

    device_init(&disk->dev, guest, index, "disk", FD_DOORBELLS + (int)index);
    memcpy(&disk->sectors, disk->dev.page->config,
           sizeof(disk->sectors)); /* the runner's, so far */
}

static void init_share(struct guest *guest, struct share *share, int proc_fd)
{
    u32 index = share->dev.index;

    device_init(&share->dev, guest, index, "share", FD_DOORBELLS + (int)index);
    share->proc_fd = proc_fd;
}

/* Each file that the guest has in hand is a descriptor here. */
static int prepare_shares(void)
{
    struct rlimit limit;

    umask(0); /* the guest's is the one that counts */
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = min(limit.rlim_max, (rlim_t)SHARE_MAX_FIDS);
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* else there are fewer */
    }
    int fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail("/proc/self/fd", errno);
    return fd;
}

/* Threads wait here until the process is confined, which is when all of them have come here: the
 * filter has no calls for a thread's start. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t arrival;

struct worker {
    void *(*run)(void *device);
    void *device;
    pthread_t thread;
};

static void *worker_thread(void *arg)
{
    const struct worker *worker = arg;

    confine_rights(worker->run == share_run);
    pthread_barrier_wait(&arrival);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return worker->run(worker->device);
}

static u32 make_workers(struct worker *workers, struct plan *plan, struct guest *guest, int proc_fd)
{
    u32 nr = 0;

    for (u32 i = 0; i < plan->nr_shares; i++) {
        init_share(guest, plan->shares[i], proc_fd);
        workers[nr++] = (struct worker){.run = share_run, .device = plan->shares[i]};
    }
    for (u32 i = 0; i < plan->nr_disks; i++) {
        init_disk(guest, &plan->disks[i]);
        workers[nr++] = (struct worker){.run = disk_run, .device = &plan->disks[i]};
    }
    return nr;
}

/* The keys of a terminal and the stop signals are for others; who wants us gone ends the guest. */
static void ignore_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct plan plan = {.tap = -1, .pcap = -1};
    struct guest guest;
    struct worker workers[WINDOW_MAX_DEVICES];

    if (argc < 3)
        fail("not for calling by hand", 0);
    ignore_signals();
    plan.memory_bytes = strtoull(argv[1], NULL, 10);
    for (int i = 2; i < argc; i++)
        read_word(&plan, argv[i]);
    map_guest(&guest, &plan);
    make_quick(FD_IRQ);
    for (u32 i = 0; i < plan.nr_devices; i++)
        make_quick(FD_DOORBELLS + (int)i);
    bool has_net = plan.user || plan.tap >= 0;
    struct net *net = has_net ? make_net(&guest, &plan) : NULL;
    const struct confine_needs needs = {.sockets = plan.user,
                                        .tap = plan.tap >= 0,
                                        .nr_folders = plan.nr_shares,
                                        .folders = plan.folders,
                                        .proc_fd = plan.nr_shares ? prepare_shares() : -1};
    confine_namespaces(&needs);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a new user namespace has forgotten it */
    confine_rights(plan.nr_shares);   /* of a thread each: its children have no more */
    pthread_mutex_lock(&gate);
    u32 nr_workers = make_workers(workers, &plan, &guest, needs.proc_fd);
    u32 nr_own = nr_workers - !has_net; /* one has the first thread */
    pthread_barrier_init(&arrival, NULL, nr_own + 1);
    for (u32 i = 0; i < nr_own; i++)
        if (pthread_create(&workers[i].thread, NULL, worker_thread, &workers[i]))
            fail("no thread for a device", 0);
    confine_rights(!has_net && workers[nr_own].run == share_run);
    pthread_barrier_wait(&arrival);
    int err = confine_calls(&needs);
    if (err)
        fail("the host refuses the system-call filter (seccomp)", -err);
    pthread_mutex_unlock(&gate);
    if (net)
        net_run(net);
    else
        workers[nr_own].run(workers[nr_own].device);
    for (u32 i = 0; i < nr_own; i++)
        pthread_join(workers[i].thread, NULL);
    _exit(0); /* without the libraries' own ends, for which the filter has no calls */
}
