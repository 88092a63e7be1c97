/* Restart policies, in Docker's words. */
#include "instance/supervisor.h"

#include <stdlib.h>
#include <string.h>

int restart_parse(const char *text, struct restart_policy *policy, struct err *err)
{
    static const char *const names[] = {
        [RESTART_NO] = "no",
        [RESTART_ON_FAILURE] = "on-failure",
        [RESTART_ALWAYS] = "always",
        [RESTART_UNLESS_STOPPED] = "unless-stopped",
    };
    size_t len = strcspn(text, ":");

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strlen(names[i]) != len || strncmp(names[i], text, len) != 0)
            continue;
        u64 max = 0;
        if (text[len] &&
            (i != RESTART_ON_FAILURE || str_to_u64(text + len + 1, &max) || !max || max > INT_MAX))
            return err_set(err, ERR_USAGE, "--restart: '%s' is no count of restarts behind '%s'",
                           text + len + 1, names[i]);
        *policy = (struct restart_policy){.kind = (enum restart_kind)i, .max = (unsigned)max};
        return 0;
    }
    return err_set(err, ERR_USAGE,
                   "--restart: '%s' is none of no, on-failure[:N], always and unless-stopped",
                   text);
}
