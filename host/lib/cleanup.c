#include "lib/cleanup.h"

#include <errno.h>

void fd_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd); /* read-only or already synced: nothing a failure could tell */
    errno = saved;
}

void file_close(FILE **file)
{
    if (*file)
        fclose(*file);
}
