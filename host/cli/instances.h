/* What the commands on instances share. */
#pragma once

#include "cli/cli.h"
#include "instance/instance.h"

/**
 * Do something with each instance that argv[1...words] names.  One that fails is told of, and the
 * others have their turn; the last failure is the command's.
 * Returns 0 or a negative code with @err set.
 */
int instances_each(const char *command, int words, char **argv,
                   int (*act)(struct instance *instance, void *context, struct err *err),
                   void *context, struct err *err);

/** As instances_each(), for a command that has no options. */
int instances_plain(const struct command *command, int argc, char **argv,
                    int (*act)(struct instance *instance, void *context, struct err *err),
                    struct err *err);

/** Everything about an instance: a new reference, or NULL. */
json_t *instances_json(struct instance *instance, struct err *err);

/** Stop it within @ms; -1: the time it was made with.  One that does not run is no failure. */
int instances_stop(struct instance *instance, s64 ms, struct err *err);

/** Wait until it has ended.  One that does not run is waited for already. */
int instances_wait(const struct instance *instance, struct err *err);

/** "5 seconds", "2 hours"; returns @out. */
char *instances_span(s64 ns, char out[32]);
