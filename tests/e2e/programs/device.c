/* What devices.py starts in a guest.
 *     device write FOLDER   makes FOLDER/pattern of 3 MiB, makes it durable, reads it back
 *     device check FOLDER   finds it again, and writes over the middle of it
 *     device serve          answers one HTTP request on port 80 with 200,000 bytes
 *     device show           its environment, arguments, host name and /etc/given
 *     device sleep          waits to be stopped, and says by what
 *     device hog            the same, after it has had 48 MiB and given them back */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 3 << 18, SEED_WRITTEN = 1, SEED_CHECKED = 2 };

static int die(const char *what)
{
    printf("device: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void fill(uint32_t *words, uint32_t seed)
{
    for (uint32_t i = 0; i < WORDS; i++)
        words[i] = (i + seed) * 2654435761u;
}

/* Not from the page cache: what posix_fadvise() has let go of is read from the disk. */
static void compare(int fd, uint32_t seed)
{
    uint32_t *want = malloc(WORDS * 4), *got = malloc(WORDS * 4);

    fill(want, seed);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (pread(fd, got, WORDS * 4, 0) != WORDS * 4)
        die("read");
    for (uint32_t i = 0; i < WORDS; i++) {
        if (want[i] != got[i]) {
            printf("device: word %u is %08x, not %08x\n", i, got[i], want[i]);
            exit(1);
        }
    }
}

static void put(int fd, uint32_t seed)
{
    uint32_t *words = malloc(WORDS * 4);

    fill(words, seed);
    if (pwrite(fd, words, WORDS * 4, 0) != WORDS * 4)
        die("write");
    if (fsync(fd))
        die("fsync");
}

static int with_file(const char *folder, int again)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/pattern", folder);
    int fd = open(path, O_RDWR | (again ? 0 : O_CREAT), 0644);
    if (fd < 0)
        die(path);
    if (again)
        compare(fd, SEED_WRITTEN);
    put(fd, again ? SEED_CHECKED : SEED_WRITTEN);
    compare(fd, again ? SEED_CHECKED : SEED_WRITTEN);
    printf("device: %s\n", again ? "found and written again" : "written");
    return 0;
}

static int serve(void)
{
    static char body[200000];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(80)};
    char request[4096];
    int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof(at)) || listen(s, 5))
        die("listen");
    printf("device: listening\n");
    fflush(stdout);
    int c = accept(s, NULL, NULL);
    ssize_t n = read(c, request, sizeof(request));
    if (c < 0 || n <= 0)
        die("request");
    for (uint32_t i = 0; i < sizeof(body); i++)
        body[i] = "0123456789"[i * 7919 % 10];
    dprintf(c, "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n", sizeof(body));
    for (size_t done = 0; done < sizeof(body); done += (size_t)n) {
        n = write(c, body + done, sizeof(body) - done);
        if (n < 0)
            die("answer");
    }
    shutdown(c, SHUT_WR);
    while (read(c, request, sizeof(request)) > 0)
        ;
    printf("device: served\n");
    return 0;
}

static int show(int argc, char **argv)
{
    extern char **environ;
    char name[100] = "", line[200];
    FILE *given = fopen("/etc/given", "r");
    time_t now = time(NULL);

    gethostname(name, sizeof(name));
    printf("device: host %s, year %d\n", name, gmtime(&now)->tm_year + 1900);
    for (int i = 1; i < argc; i++)
        printf("device: argument %s\n", argv[i]);
    for (char **e = environ; *e; e++)
        printf("device: env %s\n", *e);
    while (given && fgets(line, sizeof(line), given))
        printf("device: given %s", line);
    return 0;
}

static volatile sig_atomic_t got;

static void note(int number)
{
    got = number;
}

static int wait_for_stop(int hog)
{
    size_t len = hog ? 48 << 20 : 4096;
    char *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(memory, 1, len);
    munmap(memory, len);
    signal(SIGTERM, note);
    printf("device: waiting\n");
    fflush(stdout);
    while (!got)
        usleep(20000);
    printf("device: signal %d\n", (int)got);
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "show";

    if (!strcmp(verb, "write") || !strcmp(verb, "check"))
        return with_file(argv[2], !strcmp(verb, "check"));
    if (!strcmp(verb, "serve"))
        return serve();
    if (!strcmp(verb, "sleep") || !strcmp(verb, "hog"))
        return wait_for_stop(!strcmp(verb, "hog"));
    return show(argc, argv);
}
