/* The commands of `ingot`: one function each, one table in main.c, which alone prints errors. */
#pragma once

#include "lib/err.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * A command.  argv[0] is the command's name.  Returns the exit status (0...255), or a negative
 * code with @err set: main prints `ingot NAME: text` and exits 2 for ERR_USAGE, else
 * .failed_status.
 * `--help` is handled by cli_options().
 */
typedef int (*command_fn)(int argc, char **argv, struct err *err);

struct option_spec;

struct command {
    const char *name;
    const char *summary;               /* one line, for `ingot --help`; NULL: not shown there */
    const char *usage;                 /* what follows the name: "[OPTIONS] TARGET [ARG...]" */
    const struct option_spec *options; /* ends with a NULL name */
    const char *help; /* more text for `ingot NAME --help`: examples; may be NULL */
    command_fn run;
    int failed_status; /* 0 is for 1 */
};

extern const struct command command_build, command_run, command_images, command_rmi,
    command_inspect, command_tag, command_doctor, command_volume, command_ps, command_logs,
    command_stop, command_kill, command_start, command_restart, command_wait, command_rm,
    command_rename, command_port, command_stats, command_top, command_events, command_pause,
    command_unpause, command_attach, command_exec, command_export, command_snapshot,
    command_restore, command_migrate, command_receive, command_metrics, command_debug,
    command_system;

enum option_kind {
    OPTION_FLAG,   /* bool *: set to true; letters may be joined, `-it` */
    OPTION_SWITCH, /* int *: 1, or what `--name=true` or `--name=false` says; letters as above */
    OPTION_MAYBE,  /* const char **: "" for a bare `--name`, the text of `--name=TEXT` */
    OPTION_TEXT,   /* const char **: the argument, borrowed from argv */
    OPTION_TEXTS,  /* struct strs *: appended */
    OPTION_NUMBER  /* long *: decimal */
};

/** One option: `--name` or `-x`; a value follows as `--name=V`, `--name V`, `-x V` or `-xV`. */
struct option_spec {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    size_t offset;     /* of the variable, in the struct handed to cli_options() */
    const char *value; /* name of the argument in the help, "NAME=VALUE"; NULL for a flag */
    const char *help;
};

enum option_order {
    OPTIONS_FIRST,   /* the first word that is no option ends them: `run` */
    OPTIONS_ANYWHERE /* words and options mix; "--" ends the options */
};

/**
 * Parse @argv after its first word by @command's options into @values.
 * The words that are left are moved to argv[1...] and their count is put in @words.
 * `--help` prints the help and returns 1: the caller returns 0 at once.  Returns 0 when all is
 * well, -ERR_USAGE for an unknown option (with the nearest one named) or a missing value.
 */
int cli_options(const struct command *command, int argc, char **argv, enum option_order order,
                void *values, int *words, struct err *err);

/** A verb of a command that has several, `ingot volume ls`. */
struct cli_verb {
    struct command command; /* "volume ls", its options and its help; .run is not used */
    /* Does it: @options are what cli_verb() was given, @words the words in argv[1...]. */
    int (*act)(const void *options, int words, char **argv, struct err *err);
};

/**
 * Run the verb, one of @verbs, that argv[1] of @command names, with its options parsed into
 * @values. Returns 0, what the verb failed with, or -ERR_USAGE where there is no verb or an unknown
 * one; @err then says which one is near to it, or all there are.
 */
int cli_verb(const struct command *command, const struct cli_verb *verbs, size_t count, int argc,
             char **argv, void *values, struct err *err);

/**
 * The target @word is @program of PATH: say so on standard error where this folder has something
 * of that name as well.
 */
void cli_tell_path(const char *word, const char *program);

/** Check a `--format` value: NULL and "table" mean a table, "json" JSON; else -ERR_USAGE. */
int cli_format(const char *format, bool *json, struct err *err);

/**
 * Images without a name that were not run for a week, and that no instance was made of, go, but for
 * the newest hundred.  What fails is tried again another time.
 */
void cli_prune_old(void);

/** "12.3 MB" for people, decimal units as Docker prints. Returns @out, of at least 16 bytes. */
char *cli_size(unsigned long long bytes, char out[16]);

/** A length of time, "500ms", "30s", "1m30s", "2h" or plain seconds, into milliseconds; 0 or
 * ERR_USAGE that names @option. */
int cli_duration(const char *option, const char *text, unsigned long long *ms, struct err *err);

/** Check a `--hostname`, which becomes words of the kernel's command line; NULL is none.  0 or
 * -ERR_USAGE. */
int cli_hostname(const char *name, struct err *err);

/** Check a `--loglevel`: 0, or -ERR_USAGE. */
int cli_loglevel(long level, struct err *err);
