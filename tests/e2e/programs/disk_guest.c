/* A guest in a process whose root is on a disk that the device process plays, by the interface that
 * `ingot run` uses: disk_guest KERNEL DISK LETTER COMMAND-LINE prints the guest's log and its
 * device process's end.  When the program says LETTER, if there is one, that process is killed. */
#include "vm/vmm.h"

#include "lib/err.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct err err = {0};
    struct stat st;
    struct vm vm;
    char bytes[4096];
    int says[2];

    if (argc != 5)
        return 2;
    int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        return 2;
    if (*argv[3] && (pipe2(says, O_CLOEXEC) || dup2(says[1], STDOUT_FILENO) < 0))
        return 2;
    const struct vm_disk disk = {
        .path = argv[2], .fd = fd, .bytes = (u64)st.st_size, .readonly = true};
    const struct vm_config config = {
        .kernel = argv[1],
        .params = argv[4],
        .memory_bytes = 64 << 20,
        .cpus = 1,
        .disks = &disk,
        .nr_disks = 1,
    };
    if (process_vmm.start(&config, &vm, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (*argv[3]) {
        close(says[1]);
        close(STDOUT_FILENO);
        while (read(says[0], bytes, 1) == 1 && bytes[0] != *argv[3])
            ;
        kill(vm.device, SIGKILL);
    }
    for (ssize_t n; (n = read(vm.ch.log, bytes, sizeof(bytes))) > 0;)
        (void)!write(STDERR_FILENO, bytes, (size_t)n);
    vm_wait(&vm);
    fprintf(stderr, "device process: %d\n", vm_wait_device(&vm));
    vm_fini(&vm);
    return 0;
}
