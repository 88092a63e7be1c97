/* `ingot doctor`: what this machine offers, what is missing, and which package has it. */
#include "cli/cli.h"
#include "cli/run_priv.h"

#include "image/patch/add.h"
#include "image/store.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "lib/json.h"
#include "lib/proc.h"
#include "vm/cpu_facts.h"
#include "vm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

enum verdict {
    DOCTOR_OK,
    DOCTOR_NOTE,    /* `ingot run` works without it */
    DOCTOR_MISSING, /* it does not */
};

static const char *const verdict_names[] = {"ok", "note", "missing"};

/* One finding. */
struct finding {
    const char *name;
    enum verdict verdict;
    char text[320];
    const char *package; /* the Debian package to install; NULL for none */
};

struct report {
    struct finding at[32];
    size_t len;
};

static struct finding *doctor_add(struct report *report, const char *name)
{
    struct finding *finding = &report->at[report->len];

    if (report->len + 1 < ARRAY_LEN(report->at))
        report->len++;
    *finding = (struct finding){.name = name};
    return finding;
}

static void doctor_kvm(struct report *report)
{
    static const char *const states[] = {
        [KVM_ABSENT] = "not there",
        [KVM_REFUSED] = "may not be opened (is this user in group 'kvm'?)",
        [KVM_BROKEN] = "does not work",
        [KVM_SLOW] = "usable, but slower than emulation, so not used",
        [KVM_QUICK] = "usable and quick",
    };
    struct finding *finding = doctor_add(report, "kvm");
    struct kvm_info kvm;

    kvm_probe(&kvm);
    finding->verdict = kvm.state == KVM_QUICK ? DOCTOR_OK : DOCTOR_NOTE;
    snprintf(finding->text, sizeof(finding->text), "%s (%s)", states[kvm.state], kvm.why);
}

static bool doctor_vmm(struct report *report)
{
    struct finding *finding = doctor_add(report, "qemu");
    struct vmm_info info;

    qemu_vmm.probe(&info);
    if (info.path[0] && info.version[0]) {
        snprintf(finding->text, sizeof(finding->text), "%.64s at %.160s; machines %.64s",
                 info.version, info.path, info.machines);
        return true;
    }
    finding->verdict = DOCTOR_MISSING;
    finding->package = "qemu-system-x86";
    snprintf(finding->text, sizeof(finding->text), "%s",
             info.path[0] ? "installed, but it does not start" : "not installed");
    return false;
}

/* What holds a program on each ground, said plainly: they are not the same. */
static void doctor_isolation(struct report *report, bool has_vmm)
{
    struct finding *vm = doctor_add(report, "vm");
    struct finding *process = doctor_add(report, "process");
    struct kvm_info kvm;

    kvm_probe(&kvm);
    bool seccomp = vmm_host_filters();
    snprintf(
        vm->text, sizeof(vm->text), "%s%s",
        kvm.state == KVM_QUICK
            ? "isolated by the CPU's virtualisation, behind QEMU in its own sandbox; the default"
            : "isolated by QEMU's emulation, in its own sandbox; several times slower than "
              "native, only with --isolation vm",
        seccomp ? "" : "; but this host refuses seccomp filters, so QEMU has no sandbox");
    if (!has_vmm) {
        vm->verdict = DOCTOR_MISSING;
        snprintf(vm->text, sizeof(vm->text), "not possible without QEMU");
    }
    process->verdict = seccomp ? DOCTOR_OK : DOCTOR_NOTE;
    snprintf(process->text, sizeof(process->text), "%s%s",
             seccomp ? "isolated by seccomp: no host system call from the program, 13 from its "
                       "kernel; the host's kernel is shared"
                     : "not possible: this host has no seccomp filters, or refuses them",
             seccomp && kvm.state != KVM_QUICK ? "; the default" : "");
}

/* In a child, which may then end as it is: a namespace of users in which something is mounted. */
static bool doctor_has_namespaces(void)
{
    int status = 1;
    pid_t child = fork();

    if (child == 0) {
        bool made = !unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) &&
                    !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        _exit(!made);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && !status;
}

/* Plays the network of a guest in a process. */
static void doctor_device(struct report *report)
{
    struct finding *finding = doctor_add(report, "device");
    char own[512] = "";
    ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - sizeof("ingot-device"));
    char *slash = len > 0 ? strrchr(own, '/') : NULL;

    if (slash)
        memcpy(slash + 1, "ingot-device", sizeof("ingot-device"));
    if (access(own, X_OK) != 0 && access(INGOT_LIBEXECDIR "/ingot-device", X_OK) != 0) {
        finding->verdict = DOCTOR_NOTE;
        snprintf(finding->text, sizeof(finding->text),
                 "no ingot-device: a guest in a process has no network");
        return;
    }
    bool namespaces = doctor_has_namespaces();
    finding->verdict = namespaces ? DOCTOR_OK : DOCTOR_NOTE;
    snprintf(finding->text, sizeof(finding->text), "%s",
             namespaces ? "the device process of a guest in a process has a seccomp filter, no "
                          "rights, and user, mount, IPC and UTS namespaces of its own"
                        : "this host makes no user namespaces: the device process of a guest in a "
                          "process has a seccomp filter and no rights, and with --net user it may "
                          "read what this user may");
}

static void doctor_kernel(struct report *report)
{
    struct finding *finding = doctor_add(report, "kernel");
    struct err err = {0};
    char *path CLEANUP(mem_free) = run_find_kernel(NULL, &err);

    finding->verdict = path ? DOCTOR_OK : DOCTOR_MISSING;
    snprintf(finding->text, sizeof(finding->text), "%.300s", path ? path : err.text);
}

static void doctor_tool(struct report *report, const char *name, const char *program,
                        const char *package, enum verdict without, const char *purpose)
{
    struct finding *finding = doctor_add(report, name);
    char *path CLEANUP(mem_free) = proc_find(program, NULL);

    finding->verdict = path ? DOCTOR_OK : without;
    finding->package = path ? NULL : package;
    snprintf(finding->text, sizeof(finding->text), "%.200s%s%s", path ? path : "not installed",
             path ? "" : "; needed ", path ? "" : purpose);
}

/* Without it images are built all the same, and their programs run slower in a process. */
static void doctor_patcher(struct report *report)
{
    struct finding *finding = doctor_add(report, "patcher");
    struct buf words CLEANUP(buf_free) = {0};
    char *program CLEANUP(mem_free) = patch_program();
    const char *const argv[] = {program, NULL};
    int status = proc_run(&(struct proc){.argv = argv, .errors = &words}, NULL);

    finding->verdict = status ? DOCTOR_NOTE : DOCTOR_OK;
    finding->package = status == 2 ? "libzydis4.0" : NULL;
    snprintf(finding->text, sizeof(finding->text), "%.100s%s%.*s", program,
             status ? ": system calls stay instructions; " : "",
             (int)strcspn(buf_text(&words), "\n"), buf_text(&words));
}

/* May we write to @path, or make it? */
static bool doctor_writable(const char *path)
{
    char *nearest CLEANUP(mem_free) = str_dup(path);

    while (!fs_exists(nearest)) {
        char *slash = strrchr(nearest, '/');
        if (!slash || slash == nearest)
            return access("/", W_OK) == 0;
        *slash = 0;
    }
    return access(nearest, W_OK | X_OK) == 0;
}

static void doctor_store(struct report *report)
{
    struct finding *finding = doctor_add(report, "store");
    struct store store CLEANUP(store_close) = {0};
    struct err err = {0};

    if (store_open(&store, &err) < 0) {
        finding->verdict = DOCTOR_MISSING;
        snprintf(finding->text, sizeof(finding->text), "%.300s", err.text);
        return;
    }
    bool writable = doctor_writable(store.root);
    finding->verdict = writable ? DOCTOR_OK : DOCTOR_MISSING;
    snprintf(finding->text, sizeof(finding->text), "%.200s, %zu images%s", store.root,
             store_count(&store),
             writable ? "" : "; not writable: set INGOT_HOME to a folder of yours");
}

static void doctor_memory(struct report *report)
{
    struct finding *finding = doctor_add(report, "memory");
    struct sysinfo info;

    if (sysinfo(&info) < 0)
        return;
    u64 unit = info.mem_unit, free_mib = (info.freeram + info.bufferram) * unit / MIB(1);
    finding->verdict = info.totalram * unit / MIB(1) < 256 ? DOCTOR_NOTE : DOCTOR_OK;
    snprintf(finding->text, sizeof(finding->text), "%llu MiB, %llu MiB of it free",
             (unsigned long long)(info.totalram * unit / MIB(1)), (unsigned long long)free_mib);
}

static void doctor_tun(struct report *report)
{
    struct finding *finding = doctor_add(report, "tun");
    int fd CLEANUP(fd_close) = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    finding->verdict = fd >= 0 ? DOCTOR_OK : DOCTOR_NOTE;
    snprintf(finding->text, sizeof(finding->text), "/dev/net/tun: %s%s",
             fd >= 0 ? "usable" : strerror(errno),
             fd >= 0 ? "" : "; only bridged networking needs it");
}

static void doctor_clock(struct report *report)
{
    struct finding *finding = doctor_add(report, "clock");
    u64 khz = cpu_facts()->tsc_khz;

    finding->verdict = khz ? DOCTOR_OK : DOCTOR_NOTE;
    if (khz)
        snprintf(finding->text, sizeof(finding->text), "time stamp counter at %llu.%03llu MHz",
                 (unsigned long long)khz / 1000, (unsigned long long)khz % 1000);
    else
        snprintf(finding->text, sizeof(finding->text),
                 "no time stamp counter of constant rate; guests keep time by slower means");
}

static void doctor_examine(struct report *report)
{
    doctor_kvm(report);
    bool has_vmm = doctor_vmm(report);
    doctor_isolation(report, has_vmm);
    doctor_device(report);
    doctor_kernel(report);
    doctor_tool(report, "erofs", "mkfs.erofs", "erofs-utils", DOCTOR_MISSING, "to build images");
    doctor_patcher(report);
    doctor_tool(report, "cc", "cc", "gcc", DOCTOR_NOTE, "to run C sources");
    doctor_tool(report, "c++", "c++", "g++", DOCTOR_NOTE, "to run C++ sources");
    doctor_tool(report, "make", "make", "make", DOCTOR_NOTE, "to run project folders");
    doctor_store(report);
    doctor_memory(report);
    doctor_clock(report);
    doctor_tun(report);
}

static void doctor_print_json(const struct report *report)
{
    json_t *list CLEANUP(json_put) = json_array();

    for (size_t i = 0; i < report->len; i++) {
        const struct finding *finding = &report->at[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?}", "name", finding->name,
                                              "state", verdict_names[finding->verdict], "detail",
                                              finding->text, "package", finding->package));
    }
    char *text CLEANUP(mem_free) = json_text(list, 2);
    puts(text);
}

static void doctor_print(const struct report *report)
{
    struct buf packages CLEANUP(buf_free) = {0};

    for (size_t i = 0; i < report->len; i++) {
        const struct finding *finding = &report->at[i];
        printf("%-8s %-8s %s\n", finding->name, verdict_names[finding->verdict], finding->text);
        if (finding->package && !strstr(buf_text(&packages), finding->package))
            buf_printf(&packages, " %s", finding->package);
    }
    if (packages.len)
        printf("\nTo install what is missing: apt-get install%s\n", buf_text(&packages));
}

static int doctor_main(int argc, char **argv, struct err *err)
{
    struct {
        const char *format;
    } options = {0};
    struct report report = {0};
    bool json;
    int words, status = 0;
    int done = cli_options(&command_doctor, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    if (words)
        return err_set(err, ERR_USAGE, "'%s': there is nothing to name", argv[1]);
    int failed = cli_format(options.format, &json, err);
    if (failed)
        return failed;
    doctor_examine(&report);
    if (json)
        doctor_print_json(&report);
    else
        doctor_print(&report);
    for (size_t i = 0; i < report.len; i++)
        status |= report.at[i].verdict == DOCTOR_MISSING;
    return status;
}

static const struct option_spec doctor_options[] = {
    {"format", 0, OPTION_TEXT, 0, "FORMAT", "table or json"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL},
};

const struct command command_doctor = {
    .name = "doctor",
    .summary = "Tell what this machine offers and what to install",
    .usage = "[OPTIONS]",
    .options = doctor_options,
    .help = "The exit status is 0 if 'ingot run' can work here.",
    .run = doctor_main,
};
