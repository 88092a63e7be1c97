/* What a Linux guest needs before a program can run in it: /proc, /dev, the modules below /modules
 * in the order of their names, the ext4 volume /dev/vda at /volume, and the loopback up.  The
 * address of eth0 is the kernel's own ip= parameter; a kernel that does not know it leaves it in
 * our environment.
 *
 *     rdinit=/init … -- PROGRAM ARG… */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load_modules(void)
{
    struct dirent **names;
    char path[300];
    int n = scandir("/modules", &names, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
        int fd = open(path, O_RDONLY);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
            perror(path);
        close(fd);
    }
}

static void up(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
        perror(name);
    close(fd);
}

static void set(unsigned long what, const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct ifreq request = {.ifr_name = "eth0"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    inet_pton(AF_INET, address, &in.sin_addr);
    memcpy(&request.ifr_addr, &in, sizeof(in));
    if (fd < 0 || ioctl(fd, what, &request))
        perror("eth0");
    close(fd);
}

/* CLIENT:… of a /24. */
static void configure(const char *ip)
{
    char address[INET_ADDRSTRLEN] = "";

    strncpy(address, ip, strcspn(ip, ":") < sizeof(address) ? strcspn(ip, ":") : 0);
    set(SIOCSIFADDR, address);
    set(SIOCSIFNETMASK, "255.255.255.0");
    up("eth0");
}

static void mount_volume(void)
{
    mkdir("/volume", 0755);
    if (mount("/dev/vda", "/volume", "ext4", MS_NOATIME, NULL))
        perror("/volume");
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
    if (getenv("begun")) /* for who measures from here on */
        puts("init begins"), fflush(stdout);
    mount_at("/proc", "proc");
    mount_at("/dev", "devtmpfs");
    load_modules();
    if (!access("/dev/vda", F_OK))
        mount_volume();
    up("lo");
    if (getenv("ip"))
        configure(getenv("ip"));
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
