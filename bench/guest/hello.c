/* The smallest useful program.  As the init of a Linux guest, started with `reboot`, it ends the
 * machine, since a Linux whose init returns prints a panic first. */
#include "plugin/marker.h"

#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>

int main(int argc, char **argv)
{
    puts("Hello");
    fflush(stdout);
    MARK(1);
    if (argc > 1 && !strcmp(argv[1], "wait"))
        getchar();
    if (argc > 1 && !strcmp(argv[1], "reboot"))
        reboot(RB_AUTOBOOT);
    return 0;
}
