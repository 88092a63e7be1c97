/* What to run, from the image's config and the command line: docs/architecture.md, "Host side to
 * guest side". */
#pragma once

#include "sys/exec.h"

/* A list of strings that grows; owns them. */
struct string_list {
    char **items; /* items[count] is NULL once anything was added */
    u32 count, capacity;
};

struct program_config {
    struct string_list argv; /* argv[0] is the program as it was named */
    struct string_list env;  /* KEY=value, each key once */
    char *cwd;               /* owns; absolute */
    char *stop_signal;       /* owns; NULL: none named */
    char *exec;              /* owns; label org.ingot.exec: see sys/exec_allow.h; NULL: none */
    char *instance;          /* owns; label org.ingot.config: see sys/instance.h; NULL: none */
    char *user;              /* owns; see sys/user.h; NULL: root */
    u32 nr_fixed;            /* words of argv that are not arguments */
    bool wx_strict;          /* label org.ingot.wx=strict */
    bool seal;               /* label org.ingot.seal=1 */
};

/**
 * Combine both.  @json: the text of the image config (cut up), NULL: none; @terminal: TERM is set.
 * 0, -EINVAL (malformed: *@where in the text), -E2BIG or -ENOMEM.
 */
int config_load(struct program_config *config, char *json, size_t len, bool terminal,
                size_t *where);
/** The value of a variable, or NULL. */
const char *config_env(const struct program_config *config, const char *key);
/** Set a variable, KEY=value, whether it was there or not. 0 or -ENOMEM. */
int config_set_env(struct program_config *config, const char *word);
/** Let go of the arguments: the program stays. */
void config_drop_args(struct program_config *config);
/** One more argument. 0 or -ENOMEM. */
int config_add_arg(struct program_config *config, const char *text);
/** The number of a signal name ("SIGTERM", "TERM", "15", "SIGRTMIN+3"), 0: none. */
int signal_number(const char *name);
