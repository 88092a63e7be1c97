/* QEMU's command line.  Every option here is either needed or measured not to cost start-up time:
 * docs/decisions/0005-how-qemu-is-started.md has the numbers. */
#include "vm/qemu_priv.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/proc.h"
#include "vm/net.h"

#include <errno.h>
#include <string.h>

/* microvm's virtio-mmio windows without ACPI: fixed since the machine type exists. */
enum {
    MMIO_BASE = 0xfeb00000,
    MMIO_SIZE = 512,
    MMIO_IRQ = 5,
};
enum { INITRD_MOST = MIB(32) };

/* microvm's memory lies below this, and what does not fit at 4 GiB. */
#define MICROVM_BELOW GIB(3)

/* microvm boots PVH kernels through qboot; its own way to tell of virtio devices is off, because it
 * writes behind "--", where words are the program's.  The RTC is the guest's wall clock. */
static const struct qemu_machine qemu_machines[] = {
    {"microvm", "microvm,acpi=off,pit=off,pic=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off",
     .mmio = true},
    {"q35", "q35,smbus=off,sata=off,usb=off,vmport=off,hpet=off", .mmio = false},
    {"pc", "pc,usb=off,vmport=off,hpet=off", .mmio = false},
};

static const struct qemu_machine *qemu_machine_find(const char *name)
{
    if (!name)
        return &qemu_machines[0];
    for (size_t i = 0; i < ARRAY_LEN(qemu_machines); i++)
        if (strcmp(qemu_machines[i].name, name) == 0)
            return &qemu_machines[i];
    return NULL;
}

/* RAM with the mapped layers behind it, which QEMU wants to be of so many bytes. */
static u64 qemu_mapped_end(const struct qemu_plan *plan)
{
    return ALIGN_UP(plan->config->memory_bytes + plan->sizes.total, 8192);
}

/* Where the mapped layers begin; 0: the hole below 4 GiB would part them. */
static u64 qemu_mapped_at(const struct qemu_plan *plan)
{
    u64 end = qemu_mapped_end(plan), ram = end - plan->sizes.total;

    if (end <= MICROVM_BELOW)
        return ram;
    return ram >= MICROVM_BELOW ? GIB(4) + ram - MICROVM_BELOW : 0;
}

/* Mapped they cost nothing before they are used, and no memory of the guest's or a second guest's.
 * But what is saved or sent elsewhere shall not have them in it.  An initrd is copied at start, up
 * to 1 ms a MiB, and takes memory from the program; a disk is read as needed. */
static enum qemu_layers qemu_choose_layers(const struct qemu_plan *plan, size_t all)
{
    const struct vm_config *config = plan->config;
    u64 bytes = plan->sizes.total, memory = config->memory_bytes;

    if (config->nr_layers && plan->machine->mmio && all <= QEMU_MAX_DISKS && plan->sizes.mappable &&
        !config->monitor && qemu_mapped_at(plan))
        return QEMU_LAYERS_MAPPED;
    if (bytes > memory / 4 || (bytes > INITRD_MOST && all <= QEMU_MAX_DISKS))
        return QEMU_LAYERS_DISKS;
    return QEMU_LAYERS_INITRD;
}

int qemu_plan_init(struct qemu_plan *plan, const struct vm_config *config,
                   const struct qemu_sizes *sizes, struct err *err)
{
    *plan = (struct qemu_plan){
        .config = config, .machine = qemu_machine_find(config->machine), .sizes = *sizes};
    if (!plan->machine)
        return err_set(err, EINVAL, "unknown machine '%s'; there are microvm, q35 and pc",
                       config->machine);
    plan->queues = vm_net_queues(config->net, config->cpus);
    size_t wanted = config->nr_volumes + config->nr_shares, all = wanted + config->nr_layers;
    plan->layers = qemu_choose_layers(plan, all);
    plan->disks = plan->layers == QEMU_LAYERS_DISKS ? config->nr_layers : 0;
    plan->files = plan->layers == QEMU_LAYERS_INITRD ? 0 : config->nr_layers;
    if (plan->disks > QEMU_MAX_DISKS)
        return err_set(err, EINVAL,
                       "an image of %zu layers needs more memory: at least %llu MiB, see --memory",
                       config->nr_layers, (unsigned long long)(sizes->total * 4 / MIB(1) + 1));
    if (wanted + plan->disks > QEMU_MAX_DISKS)
        return err_set(err, EINVAL, "%zu volumes are more than a VM of this image takes", wanted);
    plan->program = proc_find("qemu-system-x86_64", err);
    return plan->program ? 0 : -ENOENT;
}

void qemu_plan_fini(struct qemu_plan *plan)
{
    mem_free(&plan->program);
}

static void qemu_add(struct strs *argv, const char *option, char *value)
{
    strs_add(argv, option);
    strs_take(argv, value);
}

void qemu_add_virtio(const struct qemu_plan *plan, struct strs *argv, const char *type,
                     const char *options, int slot)
{
    if (plan->machine->mmio)
        qemu_add(argv, "-device",
                 str_printf("%s-device,bus=virtio-mmio-bus.%d%s", type, slot, options));
    else
        qemu_add(argv, "-device", str_printf("%s-pci%s", type, options));
}

static void qemu_add_port(struct strs *argv, const char *name, int fd)
{
    qemu_add(argv, "-chardev", str_printf("socket,id=%s,fd=%d", name, fd));
    qemu_add(argv, "-device", str_printf("virtserialport,chardev=%s,name=ingot.%s", name, name));
}

/* Port 0 is reserved for a console; the program's are 1 to 3, then come ours. */
static void qemu_add_ports_of_ours(const struct qemu_plan *plan, struct strs *argv)
{
    enum { FIRST = 4 };
    const struct vm_config *config = plan->config;
    int ports = FIRST + (config->operator_line != 0) + config->report;
    char *options CLEANUP(mem_free) = str_printf(",max_ports=%d", ports);

    qemu_add_virtio(plan, argv, "virtio-serial", options, 0);
    if (config->report) {
        qemu_add(argv, "-chardev", str_printf("socket,id=report,fd=%d", QEMU_FD_REPORT));
        qemu_add(argv, "-device",
                 str_printf("virtserialport,chardev=report,name=ingot.report,nr=%d", --ports));
    }
    if (config->operator_line) {
        qemu_add(argv, "-chardev",
                 str_printf("socket,id=guest,fd=%d%s", QEMU_FD_GUEST,
                            config->operator_line > 0 ? ",server=on,wait=off" : ""));
        qemu_add(argv, "-device",
                 str_printf("virtserialport,chardev=guest,name=ingot.guest,nr=%d", --ports));
    }
}

static void qemu_add_console(const struct qemu_plan *plan, struct strs *argv)
{
    qemu_add(argv, "-chardev", str_printf("socket,id=log,fd=%d", QEMU_FD_LOG));
    qemu_add(argv, "-serial", str_dup("chardev:log"));
    qemu_add(argv, "-chardev", str_printf("socket,id=control,fd=%d", QEMU_FD_CONTROL));
    qemu_add(argv, "-mon", str_dup("chardev=control,mode=control"));
    if (plan->config->monitor) {
        qemu_add(argv, "-chardev",
                 str_printf("socket,id=monitor,fd=%d,server=on,wait=off", QEMU_FD_MONITOR));
        qemu_add(argv, "-mon", str_dup("chardev=monitor,mode=control"));
    }
    qemu_add_ports_of_ours(plan, argv);
    if (plan->config->tty) {
        qemu_add_port(argv, "tty", QEMU_FD_TTY);
        return;
    }
    qemu_add_port(argv, "stdin", QEMU_FD_IN);
    qemu_add_port(argv, "stdout", QEMU_FD_OUT);
    qemu_add_port(argv, "stderr", QEMU_FD_ERR);
}

/* The guest's memory is several pieces in a row then, which QEMU calls nodes: RAM, and the files.
 */
static void qemu_add_mapped_layers(const struct qemu_plan *plan, struct strs *argv)
{
    qemu_add(argv, "-object",
             str_printf("memory-backend-ram,id=ram,size=%llu",
                        (unsigned long long)(qemu_mapped_end(plan) - plan->sizes.total)));
    qemu_add(argv, "-numa", str_dup("node,memdev=ram"));
    for (size_t i = 0; i < plan->files; i++) {
        qemu_add(argv, "-object",
                 str_printf("memory-backend-file,id=layer%zu,size=%llu,share=on,readonly=on,"
                            "mem-path=/proc/self/fd/%zu",
                            i, (unsigned long long)plan->sizes.each[i], QEMU_FD_DISK + i));
        qemu_add(argv, "-numa", str_printf("node,memdev=layer%zu", i));
    }
}

static void qemu_add_layers(const struct qemu_plan *plan, struct strs *argv)
{
    if (plan->layers == QEMU_LAYERS_MAPPED)
        qemu_add_mapped_layers(plan, argv);
    if (plan->layers == QEMU_LAYERS_INITRD && plan->config->nr_layers)
        qemu_add(argv, "-initrd", str_printf("/proc/self/fd/%d", QEMU_FD_INITRD));
    for (size_t i = 0; i < plan->disks; i++) {
        qemu_add(argv, "-drive",
                 str_printf("if=none,id=layer%zu,format=raw,readonly=on,file.locking=off,"
                            "file=/proc/self/fd/%zu",
                            i, QEMU_FD_DISK + i));
        char *options CLEANUP(mem_free) = str_printf(",drive=layer%zu", i);
        qemu_add_virtio(plan, argv, "virtio-blk", options, (int)i + 1);
    }
}

/* Behind the layers' disks; on microvm in the slots behind the network's. */
static void qemu_add_volumes(const struct qemu_plan *plan, struct strs *argv)
{
    const struct vm_config *config = plan->config;
    size_t slot = 1 + plan->disks + (config->net && config->net->kind != VM_NET_NONE);

    for (size_t i = 0; i < config->nr_volumes; i++) {
        qemu_add(argv, "-drive",
                 str_printf("if=none,id=volume%zu,format=raw,readonly=%s,file.locking=off,"
                            "cache=writeback,discard=unmap,werror=report,file=/proc/self/fd/%zu",
                            i, config->volumes[i].readonly ? "on" : "off",
                            QEMU_FD_DISK + plan->files + i));
        char *options CLEANUP(mem_free) = str_printf(",drive=volume%zu", i);
        qemu_add_virtio(plan, argv, "virtio-blk", options, (int)(slot + i));
    }
}

/* A comma in a value is doubled. */
static char *qemu_quote(const char *text)
{
    struct buf quoted = {0};

    for (; *text; text++)
        buf_printf(&quoted, *text == ',' ? ",," : "%c", *text);
    return buf_take(&quoted);
}

/* QEMU's own server.  It follows no links, the guest does that, and takes no rights beyond its
 * user's: a chown that fails is passed over. */
static void qemu_add_shares(const struct qemu_plan *plan, struct strs *argv)
{
    const struct vm_config *config = plan->config;
    size_t slot =
        1 + plan->disks + (config->net && config->net->kind != VM_NET_NONE) + config->nr_volumes;

    for (size_t i = 0; i < config->nr_shares; i++) {
        char *path CLEANUP(mem_free) = qemu_quote(config->shares[i].path);
        qemu_add(argv, "-fsdev",
                 str_printf("local,id=share%zu,security_model=none,multidevs=remap,readonly=%s,"
                            "path=%s",
                            i, config->shares[i].readonly ? "on" : "off", path));
        char *options CLEANUP(mem_free) = str_printf(",fsdev=share%zu,mount_tag=share%zu", i, i);
        qemu_add_virtio(plan, argv, "virtio-9p", options, (int)(slot + i));
    }
}

static char *qemu_cmdline(const struct qemu_plan *plan)
{
    const struct vm_config *config = plan->config;
    size_t disks = plan->disks;
    size_t slots = 1 + disks + (config->net && config->net->kind != VM_NET_NONE) +
                   config->nr_volumes + config->nr_shares;
    struct buf line = {0};

    if (plan->layers == QEMU_LAYERS_MAPPED)
        buf_printf(&line, "initrdmem=0x%llx,0x%llx ", (unsigned long long)qemu_mapped_at(plan),
                   (unsigned long long)plan->sizes.total);
    buf_puts(&line, config->params);
    for (size_t i = 0; i < disks; i++)
        buf_printf(&line, " %s/dev/vd%c", i ? "ingot.layer=" : "root=", (char)('a' + i));
    for (size_t i = 0; i < config->nr_volumes; i++)
        buf_printf(&line, " ingot.mount=/dev/vd%c:%s%s", (char)('a' + disks + i),
                   config->volumes[i].mount, config->volumes[i].readonly ? ":ro" : "");
    for (size_t i = 0; i < config->nr_shares; i++)
        buf_printf(&line, " ingot.share=share%zu:%s%s", i, config->shares[i].mount,
                   config->shares[i].readonly ? ":ro" : "");
    for (size_t slot = 0; plan->machine->mmio && slot < slots; slot++)
        buf_printf(&line, " virtio_mmio.device=%d@0x%llx:%zu", MMIO_SIZE,
                   (unsigned long long)MMIO_BASE + slot * MMIO_SIZE, MMIO_IRQ + slot);
    if (config->args)
        buf_printf(&line, " -- %s", config->args);
    return buf_take(&line);
}

/* Emulated, a CPU of every feature, but for the two that promise a quick "rep movsb": it moves one
 * byte a turn there, and programs would trust the promise. */
static void qemu_add_cpu(const struct qemu_plan *plan, struct strs *argv)
{
    bool kvm = plan->config->accel == VM_ACCEL_KVM, several = plan->config->cpus > 1;

    qemu_add(argv, "-accel", str_dup(kvm ? "kvm" : several ? "tcg,thread=multi" : "tcg"));
    qemu_add(argv, "-cpu", str_dup(kvm ? "host" : "max,-erms,-fsrm"));
    u64 bytes =
        plan->layers == QEMU_LAYERS_MAPPED ? qemu_mapped_end(plan) : plan->config->memory_bytes;
    qemu_add(argv, "-m", str_printf("%lluk", (unsigned long long)bytes / 1024));
    if (several) /* of one socket, so that CPUID tells of the others */
        qemu_add(argv, "-smp", str_printf("%u,sockets=1", plan->config->cpus));
}

/* Emulated, the processor's own thread takes what a driver asks to the device: a wake of QEMU's
 * main thread for each request costs more.  With KVM that would be a dear exit for the guest. */
static void qemu_add_transport(const struct qemu_plan *plan, struct strs *argv)
{
    bool mmio = plan->machine->mmio;

    if (mmio) /* version 2 of the transport, as every other VMM has it */
        qemu_add(argv, "-global", str_dup("virtio-mmio.force-legacy=off"));
    if (plan->config->accel != VM_ACCEL_KVM)
        qemu_add(argv, "-global", str_printf("virtio-%s.ioeventfd=off", mmio ? "mmio" : "pci"));
}

void qemu_argv(const struct qemu_plan *plan, struct strs *argv)
{
    const struct vm_config *config = plan->config;

    strs_add(argv, plan->program);
    strs_add(argv, "-nodefaults");
    strs_add(argv, "-no-user-config");
    strs_add(argv, "-no-reboot");
    qemu_add(argv, "-display", str_dup("none"));
    if (vmm_host_filters()) /* else it does not know the option */
        qemu_add(
            argv, "-sandbox",
            str_dup("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
    if (config->name)
        qemu_add(argv, "-name", str_printf("guest=%s", config->name));
    qemu_add(argv, "-machine", str_dup(plan->machine->options));
    qemu_add_cpu(plan, argv);
    qemu_add_transport(plan, argv);
    qemu_add_console(plan, argv);
    qemu_add_layers(plan, argv);
    if (config->net && config->net->kind != VM_NET_NONE)
        qemu_net_argv(plan, argv, (int)plan->disks + 1);
    qemu_add_volumes(plan, argv);
    qemu_add_shares(plan, argv);
    qemu_add(argv, "-device", str_dup("isa-debug-exit,iobase=0x501,iosize=2"));
    if (config->incoming)
        qemu_add(argv, "-incoming", str_dup("defer"));
    qemu_add(argv, "-kernel", str_dup(config->kernel));
    qemu_add(argv, "-append", qemu_cmdline(plan));
}
