/* What a Linux guest needs before a server can run in it: /proc, /dev and the loopback up.  The
 * address of eth0 is the kernel's own ip= parameter.
 *
 *     rdinit=/init … -- PROGRAM ARG… */
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
        perror("lo");
    close(fd);
}

static void mount_at(const char *folder, const char *type)
{
    mkdir(folder, 0755);
    if (mount(type, folder, type, 0, NULL))
        perror(folder);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    mount_at("/proc", "proc");
    mount_at("/dev", "devtmpfs");
    loopback_up();
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
