/* The other end of a migration: here, or by ssh. */
#include "cli/migrate_priv.h"

#include "cli/cli.h"
#include "instance/instance.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "lib/own.h"
#include "lib/signals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void place_free(struct place *place)
{
    free(place->host);
    free(place->port);
    free(place->state);
}

int place_parse(const char *text, struct place *place, struct err *err)
{
    char *here CLEANUP(mem_free) = instance_root();

    *place = (struct place){.text = text};
    if (str_starts(text, "ssh://")) {
        const char *host = text + strlen("ssh://");
        size_t len = strcspn(host, ":/");
        if (!len || host[0] == '-')
            return err_set(err, ERR_USAGE, "'%s' is not ssh://[USER@]HOST[:PORT][/STATE]", text);
        place->host = str_printf("%.*s", (int)len, host);
        const char *rest = host + len;
        if (*rest == ':') {
            size_t digits = strspn(rest + 1, "0123456789");
            place->port = str_printf("%.*s", (int)digits, rest + 1);
            rest += 1 + digits;
        }
        place->state = *rest == '/' && rest[1] ? str_dup(rest) : NULL;
        return *rest && *rest != '/'
                   ? err_set(err, ERR_USAGE, "'%s' is not ssh://[USER@]HOST[:PORT][/STATE]", text)
                   : 0;
    }
    if (!strchr(text, '/'))
        return err_set(err, ERR_USAGE,
                       "'%s' is neither ssh://HOST nor the path of a state directory", text);
    int failed = fs_mkdirs(text, err);
    if (failed)
        return failed;
    char *ours CLEANUP(mem_free) = fs_real(here, err);
    place->state = fs_real(text, err);
    if (!ours || !place->state)
        return -err->code;
    return strcmp(ours, place->state) == 0 ? err_set(err, EINVAL, "'%s' is where it is", text) : 0;
}

/* A word for the shell at the other end of ssh. */
static void add_quoted(struct buf *line, const char *word)
{
    buf_puts(line, " '");
    for (; *word; word++)
        buf_printf(line, *word == '\'' ? "'\\''" : "%c", *word);
    buf_puts(line, "'");
}

/* `ingot receive WORDS` at @place, as this process. */
static void exec_there(const struct place *place, const char *const *words)
{
    struct buf line CLEANUP(buf_free) = {0};
    struct strs argv CLEANUP(strs_free) = {0};

    if (!place->host) {
        setenv("INGOT_STATE", place->state, 1);
        strs_add(&argv, "ingot");
        for (; *words; words++)
            strs_add(&argv, *words);
        execv("/proc/self/exe", argv.at);
        return;
    }
    if (place->state) {
        buf_puts(&line, "env");
        char *state CLEANUP(mem_free) = str_printf("INGOT_STATE=%s", place->state);
        add_quoted(&line, state);
        buf_puts(&line, " ");
    }
    buf_puts(&line, "ingot");
    for (; *words; words++)
        add_quoted(&line, *words);
    strs_add(&argv, "ssh");
    strs_add(&argv, "-oBatchMode=yes");
    strs_add(&argv, "-oLogLevel=ERROR"); /* its warnings are nobody's answer */
    if (place->port) {
        strs_add(&argv, "-p");
        strs_add(&argv, place->port);
    }
    strs_add(&argv, "--");
    strs_add(&argv, place->host);
    strs_add(&argv, buf_text(&line));
    execvp("ssh", argv.at);
}

pid_t place_start(const struct place *place, const char *const *words, int in, int out, int errors)
{
    pid_t child = fork();

    if (child)
        return child;
    signals_release();
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(errors, STDERR_FILENO) < 0)
        _exit(1);
    exec_there(place, words);
    fprintf(stderr, "%s: %s\n", place->host ? "ssh" : "ingot", strerror(errno));
    _exit(127);
}
