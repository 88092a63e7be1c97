/* Options and help, from each command's own table. */
#include "cli/cli.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/duration.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void options_print(const struct option_spec *option)
{
    char left[48] = "      ";

    if (option->letter)
        snprintf(left, sizeof(left), "  -%c, ", option->letter);
    size_t used = strlen(left);
    snprintf(left + used, sizeof(left) - used, "--%s%s%s", option->name, option->value ? " " : "",
             option->value ? option->value : "");
    printf("%-30s %s\n", left, option->help);
}

static void options_help(const struct command *command)
{
    printf("Usage: ingot %s %s\n\n%s\n\nOptions:\n", command->name, command->usage,
           command->summary ? command->summary : "");
    for (const struct option_spec *option = command->options; option->name; option++)
        options_print(option);
    printf("%-30s %s\n", "  -h, --help", "show this help");
    if (command->help)
        printf("\n%s\n", command->help);
}

static int options_unknown(const struct command *command, const char *word, struct err *err)
{
    const char *names[64] = {"help"};
    size_t count = 1;

    for (const struct option_spec *o = command->options; o->name && count < ARRAY_LEN(names); o++)
        names[count++] = o->name;
    char *name CLEANUP(mem_free) = str_dup(word + strspn(word, "-"));
    name[strcspn(name, "=")] = 0;
    const char *nearest = strlen(name) > 1 ? str_nearest(name, names, count) : NULL;
    if (nearest)
        return err_set(err, ERR_USAGE, "unknown option '%s'; did you mean '--%s'?", word, nearest);
    return err_set(err, ERR_USAGE, "unknown option '%s'; see 'ingot %s --help'", word,
                   command->name);
}

/* Finds the option that @word names, and the value glued to it, if any. */
static const struct option_spec *options_find(const struct command *command, char *word,
                                              char **glued)
{
    bool is_long = word[1] == '-';

    *glued = NULL;
    for (const struct option_spec *option = command->options; option->name; option++) {
        size_t len = strlen(option->name);
        if (is_long && strncmp(word + 2, option->name, len) == 0 &&
            (word[2 + len] == 0 || word[2 + len] == '=')) {
            *glued = word[2 + len] ? word + 3 + len : NULL;
            return option;
        }
        if (!is_long && option->letter && word[1] == option->letter) {
            *glued = word[2] ? word + 2 + (word[2] == '=') : NULL;
            return option;
        }
    }
    return NULL;
}

static int options_store(const struct option_spec *option, const char *value, void *values,
                         struct err *err)
{
    void *variable = (char *)values + option->offset;
    char *end;

    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)variable = true;
        return 0;
    case OPTION_SWITCH:
        *(int *)variable = !value || strcmp(value, "true") == 0;
        if (value && !*(int *)variable && strcmp(value, "false") != 0)
            return err_set(err, ERR_USAGE, "--%s: '%s' is neither 'true' nor 'false'", option->name,
                           value);
        return 0;
    case OPTION_MAYBE:
        *(const char **)variable = value ? value : "";
        return 0;
    case OPTION_TEXT:
        *(const char **)variable = value;
        return 0;
    case OPTION_TEXTS:
        strs_add(variable, value);
        return 0;
    case OPTION_NUMBER:
        *(long *)variable = strtol(value, &end, 10);
        if (end == value || *end)
            return err_set(err, ERR_USAGE, "--%s: '%s' is not a number", option->name, value);
        return 0;
    }
    return 0;
}

static bool options_needs_value(const struct option_spec *option)
{
    return option->kind != OPTION_FLAG && option->kind != OPTION_SWITCH &&
           option->kind != OPTION_MAYBE;
}

/* `-it`: the letters behind a flag's are flags again. */
static bool options_is_joined(const struct option_spec *option, const char *word)
{
    return word[1] != '-' && word[2] && word[2] != '=' && !options_needs_value(option);
}

/* Takes the option at argv[*at] and its value; moves *at to the last word that was taken. */
static int options_take(const struct command *command, int argc, char **argv, int *at, void *values,
                        struct err *err)
{
    char *word = argv[*at], *value;
    const struct option_spec *option = options_find(command, word, &value);

    if (!option)
        return options_unknown(command, word, err);
    if (options_is_joined(option, word)) {
        int failed = options_store(option, NULL, values, err);
        argv[*at] = word + 1;
        word[1] = '-';
        return failed ? failed : options_take(command, argc, argv, at, values, err);
    }
    if (option->kind == OPTION_FLAG && value)
        return err_set(err, ERR_USAGE, "'--%s' takes no value", option->name);
    if (options_needs_value(option) && !value) {
        if (*at + 1 >= argc)
            return err_set(err, ERR_USAGE, "'%s' needs a value: %s", word, option->value);
        value = argv[++*at];
    }
    return options_store(option, value, values, err);
}

int cli_options(const struct command *command, int argc, char **argv, enum option_order order,
                void *values, int *words, struct err *err)
{
    int kept = 1, at = 1;

    for (; at < argc; at++) {
        char *word = argv[at];
        if (strcmp(word, "--") == 0) {
            at++;
            break;
        }
        if (word[0] != '-' || !word[1]) {
            if (order == OPTIONS_FIRST)
                break;
            argv[kept++] = word;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            options_help(command);
            return 1;
        }
        int failed = options_take(command, argc, argv, &at, values, err);
        if (failed)
            return failed;
    }
    while (at < argc)
        argv[kept++] = argv[at++];
    argv[kept] = NULL;
    *words = kept - 1;
    return 0;
}

/* Where "ls" begins in "volume ls". */
static const char *options_verb_word(const struct cli_verb *verb)
{
    return strchr(verb->command.name, ' ') + 1;
}

/* "create, ls or rm", for @last " or ". */
static void options_list_verbs(struct buf *list, const struct cli_verb *verbs, size_t count,
                               const char *last)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(list, "%s%s",
                   i == 0           ? ""
                   : i + 1 == count ? last
                                    : ", ",
                   options_verb_word(&verbs[i]));
}

/* The verb that @word is; NULL with @err set, which says which one is near to it, or all. */
static const struct cli_verb *options_find_verb(const char *word, const struct cli_verb *verbs,
                                                size_t count, struct err *err)
{
    static const char *const others[][2] = {
        {"list", "ls"}, {"remove", "rm"}, {"delete", "rm"}, {"copy", "cp"}, {"usage", "df"}};
    struct buf list CLEANUP(buf_free) = {0};
    const char *names[16];

    assert(count <= ARRAY_LEN(names));
    for (size_t i = 0; i < count; i++) {
        names[i] = options_verb_word(&verbs[i]);
        if (strcmp(word, names[i]) == 0)
            return &verbs[i];
    }
    const char *nearest = str_nearest(word, names, count);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        for (size_t k = 0; k < count; k++)
            if (strcmp(word, others[i][0]) == 0 && strcmp(names[k], others[i][1]) == 0)
                nearest = names[k];
    options_list_verbs(&list, verbs, count, " and ");
    if (nearest)
        err_set(err, ERR_USAGE, "unknown '%s'; did you mean '%s'?", word, nearest);
    else
        err_set(err, ERR_USAGE, "unknown '%s'; there are %s", word, buf_text(&list));
    return NULL;
}

int cli_verb(const struct command *command, const struct cli_verb *verbs, size_t count, int argc,
             char **argv, void *values, struct err *err)
{
    int words;

    if (argc < 2 || argv[1][0] == '-') { /* --help, or a mistake */
        struct buf list CLEANUP(buf_free) = {0};
        int status = cli_options(command, argc, argv, OPTIONS_FIRST, values, &words, err);
        options_list_verbs(&list, verbs, count, " or ");
        return status ? min(status, 0) : err_set(err, ERR_USAGE, "what? %s", buf_text(&list));
    }
    const struct cli_verb *verb = options_find_verb(argv[1], verbs, count, err);
    if (!verb)
        return -ERR_USAGE;
    int status =
        cli_options(&verb->command, argc - 1, argv + 1, OPTIONS_ANYWHERE, values, &words, err);
    if (!status)
        status = verb->act(values, words, argv + 1, err);
    return min(status, 0);
}

int cli_format(const char *format, bool *json, struct err *err)
{
    *json = format && strcmp(format, "json") == 0;
    if (!format || *json || strcmp(format, "table") == 0)
        return 0;
    return err_set(err, ERR_USAGE, "--format: '%s' is neither 'table' nor 'json'", format);
}

void cli_tell_path(const char *word, const char *program)
{
    if (fs_exists(word))
        fprintf(stderr, "ingot: '%s' is %s; write ./%s for what this folder has\n", word, program,
                word);
}

char *cli_size(unsigned long long bytes, char out[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1000;
        unit++;
    }
    snprintf(out, 16, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

int cli_duration(const char *option, const char *text, unsigned long long *ms, struct err *err)
{
    u64 value;

    if (!duration_parse(text, &value))
        return err_set(err, ERR_USAGE, "--%s: '%s' is no length of time; say 30s or 1m", option,
                       text);
    *ms = value;
    return 0;
}

int cli_hostname(const char *name, struct err *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

    if (!name || (strlen(name) <= HOST_NAME_MAX && !name[strspn(name, allowed)]))
        return 0;
    return err_set(err, ERR_USAGE, "--hostname: '%s': up to %d letters, digits, '-', '.' and '_'",
                   name, HOST_NAME_MAX);
}

int cli_loglevel(long level, struct err *err)
{
    if (level >= 0 && level <= 7)
        return 0;
    return err_set(err, ERR_USAGE, "--loglevel: %ld is not in 0 to 7", level);
}
