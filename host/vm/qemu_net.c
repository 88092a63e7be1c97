/* The guest's interface on QEMU: user-mode network or a tap of ours. */
#include "vm/qemu_priv.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "vm/net.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static char *user_options(const struct vm_net *net)
{
    struct buf text = {0};

    buf_puts(&text, "user,id=net");
    for (size_t i = 0; i < net->nr_ports && !net->late; i++)
        buf_printf(&text, ",hostfwd=%s:%s:%u-:%u", net->ports[i].udp ? "udp" : "tcp",
                   net->ports[i].host_ip, net->ports[i].host, net->ports[i].guest);
    return buf_take(&text);
}

/* "tap,id=net,fd=17", or fds=17:18 with several queues. */
static char *tap_options(const struct qemu_plan *plan)
{
    struct buf text = {0};

    buf_puts(&text, plan->queues > 1 ? "tap,id=net,fds=" : "tap,id=net,fd=");
    for (unsigned i = 0; i < plan->queues; i++)
        buf_printf(&text, "%s%u", i ? ":" : "", QEMU_FD_TAP + i);
    return buf_take(&text);
}

void qemu_net_argv(const struct qemu_plan *plan, struct strs *argv, int slot)
{
    const struct vm_net *net = plan->config->net;
    const u8 *m = net->mac;
    char *device CLEANUP(mem_free) =
        str_printf(",netdev=net,mac=%02x:%02x:%02x:%02x:%02x:%02x%s", m[0], m[1], m[2], m[3], m[4],
                   m[5], plan->queues > 1 ? ",mq=on" : "");

    strs_add(argv, "-netdev");
    strs_take(argv, net->kind == VM_NET_TAP ? tap_options(plan) : user_options(net));
    qemu_add_virtio(plan, argv, "virtio-net", device, slot);
    if (!net->pcap)
        return;
    strs_add(argv, "-object");
    strs_take(argv, str_printf("filter-dump,id=pcap,netdev=net,file=%s", net->pcap));
}

static void raise_backlog(int pidfd, int number)
{
    int fd CLEANUP(fd_close) = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    int domain = 0, listening = 0;
    socklen_t len = sizeof(int);

    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_INET)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening)
        (void)listen(fd, BACKLOG); /* it listens already; a longer queue is a kindness */
}

static void close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

void qemu_net_raise_backlogs(pid_t pid)
{
    char path[32];
    int pidfd CLEANUP(fd_close) = (int)syscall(SYS_pidfd_open, pid, 0);

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *dir CLEANUP(close_dir) = opendir(path);
    if (pidfd < 0 || !dir)
        return; /* an old kernel, or QEMU is gone: then it stays as it was */
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] != '.')
            raise_backlog(pidfd, atoi(entry->d_name));
    }
}
