#include "lib/own.h"

#include "lib/buf.h"
#include "lib/cleanup.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

char *own_path(const char *name)
{
    char own[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);

    own[max(len, (ssize_t)0)] = 0;
    char *slash = strrchr(own, '/');
    if (slash)
        slash[1] = 0;
    const char *const folders[] = {"", "../libexec/ingot/"};
    for (size_t i = 0; slash && i < ARRAY_LEN(folders); i++) {
        char *path CLEANUP(mem_free) = str_printf("%s%s%s", own, folders[i], name);
        if (access(path, R_OK) == 0)
            return TAKE(path, NULL);
    }
    char *installed CLEANUP(mem_free) = str_printf("%s/%s", INGOT_LIBEXECDIR, name);
    return access(installed, R_OK) == 0 ? TAKE(installed, NULL) : NULL;
}
