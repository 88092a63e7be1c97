/* The device process of a sandboxed guest (host/device): what it and the sandbox share is made
 * here, before either runs, so that neither waits for the other.  A guest without such devices has
 * none of this. */
#include "vm/process_priv.h"

#include "device/offer.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "vm/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Descriptors as the device process sees them (host/device/main.c). */
enum { FD_WORDS = 2, FD_MEMORY, FD_IRQ, FD_SANDBOX, FD_DOORBELLS };

static bool has_net(const struct vm_config *config)
{
    return config->net && config->net->kind != VM_NET_NONE;
}

size_t process_count_devices(const struct vm_config *config)
{
    return (size_t)has_net(config) + config->nr_disks + config->nr_volumes + config->nr_shares;
}

static void plan_argv(struct child_plan *device, const struct vm_config *config)
{
    const struct vm_net *net = config->net;
    int fd = FD_DOORBELLS + (int)process_count_devices(config);
    struct strs *argv = &device->argv;

    strs_take(argv, str_printf("ingot-device:%s", config->name ? config->name : "guest"));
    strs_take(argv, str_printf("%llu", (unsigned long long)config->memory_bytes));
    if (has_net(config))
        strs_take(argv, net->kind == VM_NET_TAP ? str_printf("tap=%d", fd++) : str_dup("user"));
    for (size_t i = 0; has_net(config) && i < net->nr_ports; i++)
        strs_take(argv, str_printf("%s=%s:%u:%u", net->ports[i].udp ? "udp" : "tcp",
                                   net->ports[i].host_ip, net->ports[i].host, net->ports[i].guest));
    if (has_net(config) && net->pcap)
        strs_take(argv, str_printf("pcap=%d", fd++));
    for (size_t i = 0; i < config->nr_layers; i++)
        strs_take(argv, str_printf("layer=%d", fd++));
    for (size_t i = 0; i < config->nr_disks; i++)
        strs_take(argv, str_printf("%s=%d", config->disks[i].readonly ? "disk-ro" : "disk", fd++));
    for (size_t i = 0; i < config->nr_volumes; i++)
        strs_take(argv,
                  str_printf("%s=%d", config->volumes[i].readonly ? "disk-ro" : "disk", fd++));
    for (size_t i = 0; i < config->nr_shares; i++)
        strs_take(argv,
                  str_printf("%s=%d", config->shares[i].readonly ? "share-ro" : "share", fd++));
}

/* Takes @fd, whatever happens. */
static int give(struct child_plan *device, int number, int fd)
{
    device->ours[number] = child_fd(fd);
    int code = errno;
    close(fd);
    errno = code;
    return device->ours[number] < 0 ? -code : 0;
}

static int open_files(struct child_plan *device, const int *layers, const struct vm_config *config,
                      struct err *err)
{
    int number = FD_DOORBELLS + (int)process_count_devices(config), failed = 0;

    if (has_net(config) && config->net->kind == VM_NET_TAP) {
        int tap = vm_net_open_tap(config->net, true, err);
        if (tap < 0)
            return tap;
        failed = give(device, number++, tap);
    }
    if (has_net(config) && config->net->pcap && !failed) {
        int fd = open(config->net->pcap, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
            return err_errno(err, errno, "--pcap: '%s'", config->net->pcap);
        failed = give(device, number++, fd);
    }
    for (size_t i = 0; i < config->nr_layers && !failed; i++) {
        device->ours[number] = child_fd(layers[i]);
        failed = device->ours[number++] < 0 ? -errno : 0;
    }
    for (size_t i = 0; i < config->nr_disks && !failed; i++) {
        device->ours[number] = child_fd(config->disks[i].fd);
        failed = device->ours[number++] < 0 ? -errno : 0;
    }
    for (size_t i = 0; i < config->nr_volumes && !failed; i++) {
        device->ours[number] = child_fd(config->volumes[i].fd);
        failed = device->ours[number++] < 0 ? -errno : 0;
    }
    for (size_t i = 0; i < config->nr_shares && !failed; i++) {
        int fd = open(config->shares[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return err_errno(err, errno, "--volume: '%s'", config->shares[i].path);
        failed = give(device, number++, fd);
    }
    return failed ? err_errno(err, -failed, "a descriptor for the device process") : 0;
}

static u64 volume_bytes(const struct vm_volume *volume)
{
    off_t end = lseek(volume->fd, 0, SEEK_END); /* of a file, or of a disk of the host */

    return end < 0 ? 0 : (u64)end;
}

static void write_window(struct window *window, const struct vm_config *config)
{
    offer_init(window);
    if (has_net(config))
        offer_net(window, config->net->mac, config->net->kind == VM_NET_TAP);
    for (size_t i = 0; i < config->nr_disks; i++)
        offer_disk(window, config->disks[i].bytes, config->disks[i].readonly);
    for (size_t i = 0; i < config->nr_volumes; i++)
        offer_disk(window, volume_bytes(&config->volumes[i]), config->volumes[i].readonly);
    for (size_t i = 0; i < config->nr_shares; i++)
        offer_share(window, (u32)i);
}

/* The guest's memory and behind it the window.  Nobody can make it shorter: who has it mapped would
 * be killed by the next touch. */
static int make_memory(const struct vm_config *config, int *memory)
{
    u64 bytes = ALIGN_UP(config->memory_bytes, (u64)WINDOW_PAGE);
    u64 window_len = window_bytes((u32)process_count_devices(config));
    int fd CLEANUP(fd_close) = memfd_create("ingot-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)(bytes + window_len)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    struct window *window CLEANUP(mem_free) = mem_new(window_len);
    write_window(window, config);
    if (pwrite(fd, window, window_len, (off_t)bytes) != (ssize_t)window_len)
        return -ENOSPC;
    *memory = child_fd(fd);
    return *memory < 0 ? -errno : 0;
}

/* A pipe whose ends are fit for plans. */
static int make_pipe(int *read_end, int *write_end)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0)
        return -errno;
    *read_end = child_fd(pair[0]);
    *write_end = child_fd(pair[1]);
    int code = errno;
    close(pair[0]);
    close(pair[1]);
    return *read_end < 0 || *write_end < 0 ? -code : 0;
}

/* A full doorbell has been heard: who rings does not wait. */
static int make_doorbell(int *read_end, int *write_end)
{
    int failed = make_pipe(read_end, write_end);

    return failed ? failed : fcntl(*write_end, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* In between may be the operator's line. */
static int make_channels(struct child_plan *device, int *sandbox, const struct vm_config *config)
{
    int *doorbells = &sandbox[config->operator_line ? 3 : 2];
    int failed = make_pipe(&sandbox[1], &device->ours[FD_IRQ]);

    for (size_t i = 0; i < process_count_devices(config) && !failed; i++)
        failed = make_doorbell(&device->ours[FD_DOORBELLS + i], &doorbells[i]);
    return failed;
}

static int plan_device(struct child_plan *device, const struct vm_config *config, struct err *err)
{
    if (process_count_devices(config) > WINDOW_MAX_DEVICES)
        return err_set(err, EINVAL,
                       "a guest in a process has at most %d disks, volumes, folders and interfaces",
                       WINDOW_MAX_DEVICES);
    device->program = child_find("ingot-device", config->kernel, err);
    if (!device->program)
        return -ENOENT;
    plan_argv(device, config);
    return 0;
}

int process_plan_device(struct child_plan *device, int *sandbox, const struct vm_config *config,
                        struct err *err)
{
    int failed = plan_device(device, config, err);

    if (failed)
        return failed;
    device->no_input = true;
    failed = open_files(device, sandbox - config->nr_layers, config, err);
    if (failed)
        return failed;
    failed = make_memory(config, &sandbox[0]);
    if (!failed)
        device->ours[FD_MEMORY] = child_fd(sandbox[0]);
    if (!failed)
        failed = make_channels(device, sandbox, config);
    if (failed)
        return err_errno(err, -failed, "no memory or channels for the guest's devices");
    return 0;
}

int process_start_device(struct child_plan *device, struct vm *vm, struct err *err)
{
    int pidfd CLEANUP(fd_close) = (int)syscall(SYS_pidfd_open, vm->pid, 0);

    if (pidfd >= 0) /* an older kernel: a guest that computes hears of its devices a little later */
        device->ours[FD_SANDBOX] = child_fd(pidfd);
    int failed = make_pipe(&vm->ch.diag, &device->ours[FD_WORDS]);
    if (!failed)
        device->ours[1] = child_fd(device->ours[FD_WORDS]);
    if (!failed)
        failed = child_spawn(device, &vm->device);
    return failed ? err_errno(err, -failed, "%s", device->program) : 0;
}

bool process_may_delay(const struct vm_config *config)
{
    return process_count_devices(config) == 1 && has_net(config) && config->net->unasked;
}

int process_delay_device(struct child_plan *device, struct vm *vm, struct err *err)
{
    vm->control = fcntl(device->ours[FD_DOORBELLS], F_DUPFD_CLOEXEC, 0);
    if (vm->control < 0)
        return err_errno(err, errno, "a channel to the guest");
    vm->late = mem_new(sizeof(*vm->late));
    *vm->late = *device;
    child_init(device);
    vm->wants_up = true;
    return 0;
}

void process_device_rang(struct vm *vm)
{
    struct err err = {0};

    fd_close(&vm->control);
    if (process_start_device(vm->late, vm, &err))
        fprintf(stderr, "ingot: the guest has no network: %s\n", err.text);
    child_fini(vm->late);
    free(TAKE(vm->late, NULL));
    vm->late_started = true;
}

int process_describe_device(const struct vm_config *config, struct buf *line, struct err *err)
{
    struct child_plan device CLEANUP(child_fini);

    child_init(&device);
    int failed = plan_device(&device, config, err);
    if (failed)
        return failed;
    buf_printf(line, "\n%s", device.program);
    for (size_t i = 1; i < device.argv.len; i++)
        buf_printf(line, " %s", device.argv.at[i]);
    return 0;
}
