#include "vm/vmm.h"

#include "lib/cleanup.h"
#include "vm/kvm.h"
#include "vm/process_priv.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum vm_accel vm_choose_accel(enum vm_accel wish)
{
    struct kvm_info kvm;

    if (wish != VM_ACCEL_AUTO)
        return wish;
    kvm_probe(&kvm);
    return kvm.state == KVM_QUICK ? VM_ACCEL_KVM : VM_ACCEL_TCG;
}

void vm_init(struct vm *vm)
{
    *vm = (struct vm){
        .ch = {.in = -1,
               .out = -1,
               .err = -1,
               .tty = -1,
               .line = -1,
               .log = -1,
               .diag = -1,
               .report = -1},
        .control = -1,
    };
}

void vm_kill(struct vm *vm)
{
    if (vm->pid > 0)
        kill(vm->pid, SIGKILL);
    if (vm->device > 0)
        kill(vm->device, SIGKILL);
}

static int reap(pid_t *pid)
{
    int status = 0;

    if (*pid <= 0)
        return 0;
    while (waitpid(*pid, &status, 0) < 0 && errno == EINTR)
        ;
    *pid = 0;
    return status;
}

int vm_wait_device(struct vm *vm)
{
    return reap(&vm->device);
}

int vm_wait(struct vm *vm)
{
    return reap(&vm->pid);
}

void vm_fini(struct vm *vm)
{
    vm_kill(vm);
    vm_wait(vm);
    vm_wait_device(vm);
    fd_close(&vm->ch.in);
    fd_close(&vm->ch.out);
    fd_close(&vm->ch.err);
    fd_close(&vm->ch.tty);
    fd_close(&vm->ch.log);
    fd_close(&vm->ch.diag);
    fd_close(&vm->ch.report);
    fd_close(&vm->ch.line);
    fd_close(&vm->control);
    if (vm->late)
        child_fini(vm->late);
    free(vm->late);
    vm_init(vm);
}

bool vmm_host_filters(void)
{
    /* Who looks for the filter, which is nowhere, would have taken one. */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, NULL) <
               0 &&
           errno == EFAULT;
}
