#include "image/ingotfile.h"

#include "image/config.h"
#include "image/erofs.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/types.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    INGOT_LINES_MAX = 10000,
    INGOT_WORDS_MAX = 1000,
};

/* What a keyword wants: how many words, and of which form. */
static const struct {
    const char *name;
    size_t words_min, words_max;
    const char *form;
    bool assigns; /* every word is NAME=VALUE */
    bool json;    /* may be a JSON array */
} ingot_verbs[] = {
    [INGOT_FROM] = {"FROM", 1, 1, "FROM scratch, or FROM IMAGE", false, false},
    [INGOT_COPY] = {"COPY", 2, INGOT_WORDS_MAX, "COPY SOURCE... TARGET", false, true},
    [INGOT_PROGRAM] = {"PROGRAM", 1, INGOT_WORDS_MAX, "PROGRAM PATH [ARG...]", false, true},
    [INGOT_ENV] = {"ENV", 1, INGOT_WORDS_MAX, "ENV NAME=VALUE...", true, false},
    [INGOT_WORKDIR] = {"WORKDIR", 1, 1, "WORKDIR PATH", false, false},
    [INGOT_USER] = {"USER", 1, 1, "USER NAME[:GROUP]", false, false},
    [INGOT_EXPOSE] = {"EXPOSE", 1, INGOT_WORDS_MAX, "EXPOSE PORT[/tcp]...", false, false},
    [INGOT_VOLUME] = {"VOLUME", 1, INGOT_WORDS_MAX, "VOLUME PATH...", false, true},
    [INGOT_ENTRYPOINT] = {"ENTRYPOINT", 1, INGOT_WORDS_MAX, "ENTRYPOINT [\"PROGRAM\", \"ARG\"]",
                          false, true},
    [INGOT_CMD] = {"CMD", 1, INGOT_WORDS_MAX, "CMD [\"ARG\", ...]", false, true},
    [INGOT_STOPSIGNAL] = {"STOPSIGNAL", 1, 1, "STOPSIGNAL SIGTERM", false, false},
    [INGOT_EXEC] = {"EXEC", 1, INGOT_WORDS_MAX, "EXEC PROGRAM...", false, false},
    [INGOT_HEALTHCHECK] = {"HEALTHCHECK", 1, INGOT_WORDS_MAX,
                           "HEALTHCHECK [--interval=30s] tcp:PORT", false, true},
    [INGOT_COMPRESS] = {"COMPRESS", 1, 1, "COMPRESS lz4, lzma or none", false, false},
    [INGOT_LABEL] = {"LABEL", 1, INGOT_WORDS_MAX, "LABEL KEY=VALUE...", true, false},
};
static_assert(ARRAY_LEN(ingot_verbs) == INGOT_VERBS, "a row a keyword");

/* Keywords of a Dockerfile that make no sense here, and what to do instead. */
static const struct {
    const char *name, *answer;
} ingot_refused[] = {
    {"RUN", "nothing runs inside an image while it is built; build outside and COPY the result"},
    {"ADD", "write COPY; unpack or download before"},
    {"ARG", "write the value, or use ENV"},
    {"SHELL", "there is no shell in an image; leave the line out"},
    {"ONBUILD", "not supported; write the line where it is wanted"},
    {"MAINTAINER", "write LABEL maintainer=NAME"},
};

/* The text under parsing. */
struct ingot_parser {
    const char *at, *end;
    int line;        /* of @at */
    struct strs env; /* NAME=VALUE so far, for ${NAME} */
    struct err *err;
};

static int ingot_fail(const struct ingot_parser *p, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int ingot_fail(const struct ingot_parser *p, int line, const char *format, ...)
{
    va_list args;
    char words[512];

    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    return err_set(p->err, EINVAL, "line %d: %s", line, words);
}

/* The next line with its continuations joined, comments left out; false at the end of the text.
 * The caller frees @out. */
static bool ingot_next(struct ingot_parser *p, struct buf *out, int *line)
{
    bool more = false;

    out->len = 0;
    while (p->at < p->end) {
        const char *newline = memchr(p->at, '\n', (size_t)(p->end - p->at));
        const char *stop = newline ? newline : p->end;
        const char *start = p->at, *last = stop;
        p->at = newline ? newline + 1 : p->end;
        p->line++;
        while (last > start && isspace((u8)last[-1]))
            last--;
        while (start < last && isspace((u8)*start))
            start++;
        if (start == last || *start == '#') /* also between the parts of one line, as Docker does */
            continue;
        *line = more ? *line : p->line;
        more = last[-1] == '\\';
        buf_add(out, start, (size_t)(last - start) - more);
        if (!more)
            return true;
        buf_puts(out, " ");
    }
    return more;
}

/* ${NAME} or $NAME at @at, which points behind the '$': its value to @out.
 * Returns where to go on. */
static const char *ingot_variable(const struct ingot_parser *p, const char *at, struct buf *out)
{
    bool braces = *at == '{';
    const char *name = at + braces, *end = name;

    while (isalnum((u8)*end) || *end == '_')
        end++;
    if (end == name || (braces && *end != '}')) {
        buf_puts(out, "$");
        return at;
    }
    char *key CLEANUP(mem_free) = str_printf("%.*s", (int)(end - name), name);
    const char *value = config_getenv(&p->env, key);
    buf_puts(out, value ? value : "");
    return end + braces;
}

/* One word from @at on: quotes as a shell has them, variables replaced outside of '...'.
 * Returns where it ends, or NULL for a quote that does not. */
static const char *ingot_word(const struct ingot_parser *p, const char *at, struct buf *out)
{
    char quote = 0;

    buf_puts(out, "");
    for (; *at && (quote || !isspace((u8)*at)); at++) {
        if (quote ? *at == quote : *at == '"' || *at == '\'') {
            quote = quote ? 0 : *at;
        } else if (*at == '\\' && quote != '\'' && at[1]) {
            buf_add(out, ++at, 1);
        } else if (*at == '$' && quote != '\'') {
            at = ingot_variable(p, at + 1, out) - 1;
        } else {
            buf_add(out, at, 1);
        }
    }
    return quote ? NULL : at;
}

static int ingot_words(const struct ingot_parser *p, int line, const char *at, struct strs *words)
{
    while (*at) {
        struct buf word CLEANUP(buf_free) = {0};
        at = ingot_word(p, at, &word);
        if (!at)
            return ingot_fail(p, line, "a quote is not closed");
        if (words->len == INGOT_WORDS_MAX)
            return ingot_fail(p, line, "more than %d words", INGOT_WORDS_MAX);
        strs_take(words, buf_take(&word));
        at += strspn(at, " \t");
    }
    return 0;
}

static int ingot_json(const struct ingot_parser *p, int line, const char *text, struct strs *words)
{
    json_error_t why;
    json_t *array CLEANUP(json_put) = json_loads(text, 0, &why);
    const json_t *word;
    size_t i;

    if (!json_is_array(array))
        return ingot_fail(p, line, "not a JSON array of strings: %s", why.text);
    json_array_foreach(array, i, word)
    {
        if (!json_is_string(word))
            return ingot_fail(p, line, "not a JSON array of strings: write every word in quotes");
        strs_add(words, json_string_value(word));
    }
    return 0;
}

static int ingot_unknown(const struct ingot_parser *p, int line, const char *word)
{
    const char *names[INGOT_VERBS];
    char *upper CLEANUP(mem_free) = str_dup(word);

    for (char *c = upper; *c; c++)
        *c = (char)toupper((u8)*c);
    for (size_t i = 0; i < ARRAY_LEN(ingot_refused); i++)
        if (strcmp(upper, ingot_refused[i].name) == 0)
            return ingot_fail(p, line, "%s: %s", upper, ingot_refused[i].answer);
    for (size_t i = 0; i < INGOT_VERBS; i++)
        names[i] = ingot_verbs[i].name;
    const char *nearest = str_nearest(upper, names, INGOT_VERBS);
    if (nearest)
        return ingot_fail(p, line, "unknown keyword '%.40s'; did you mean %s?", word, nearest);
    return ingot_fail(
        p, line,
        "unknown keyword '%.40s'; there are FROM COPY PROGRAM ENV WORKDIR USER EXPOSE "
        "VOLUME ENTRYPOINT CMD STOPSIGNAL EXEC HEALTHCHECK COMPRESS LABEL",
        word);
}

static int ingot_verb_of(const char *word)
{
    for (int i = 0; i < INGOT_VERBS; i++)
        if (strcasecmp(word, ingot_verbs[i].name) == 0)
            return i;
    return -1;
}

static bool ingot_is_assignment(const char *word)
{
    return word[0] != '=' && strchr(word, '=');
}

/* `ENV NAME the rest`, the old form, becomes one NAME=VALUE. */
static void ingot_old_form(struct ingot_line *line)
{
    struct buf joined = {0};

    if (line->args.len < 2 || ingot_is_assignment(line->args.at[0]))
        return;
    for (size_t i = 0; i < line->args.len; i++)
        buf_printf(&joined, "%s%s", i == 0 ? "" : i == 1 ? "=" : " ", line->args.at[i]);
    strs_free(&line->args);
    strs_take(&line->args, buf_take(&joined));
}

static bool ingot_port_valid(const char *word)
{
    char *end;
    unsigned long port = strtoul(word, &end, 10);

    return isdigit((u8)*word) && port >= 1 && port <= 65535 &&
           (!*end || strcmp(end, "/tcp") == 0 || strcmp(end, "/udp") == 0);
}

/* What a word has to be beyond its number; NULL if it is that. */
static const char *ingot_check_word(enum ingot_verb verb, const char *word)
{
    switch (verb) {
    case INGOT_EXPOSE:
        return ingot_port_valid(word) ? NULL : "is no port; write 1...65535, /tcp or /udp behind";
    case INGOT_VOLUME:
        return word[0] == '/' ? NULL : "is no absolute path";
    case INGOT_STOPSIGNAL:
        return config_signal(word) ? NULL : "is no signal; write a name like SIGTERM, or a number";
    case INGOT_COMPRESS:
        return erofs_compression_named(word) ? NULL : "is none of lz4, lzma and none";
    case INGOT_COPY:
        return str_starts(word, "--") ? "is an option that COPY does not have here" : NULL;
    default:
        return *word || verb == INGOT_CMD || verb == INGOT_ENTRYPOINT || verb == INGOT_PROGRAM
                   ? NULL
                   : "is an empty word";
    }
}

static int ingot_check(const struct ingot_parser *p, const struct ingot_line *line)
{
    const char *name = ingot_verbs[line->verb].name;

    /* CMD [] and ENTRYPOINT [] take away what the image below has. */
    bool may_be_empty = line->verb == INGOT_CMD || line->verb == INGOT_ENTRYPOINT;
    if ((line->args.len < ingot_verbs[line->verb].words_min && !may_be_empty) ||
        line->args.len > ingot_verbs[line->verb].words_max)
        return ingot_fail(p, line->line, "%s: write %s", name, ingot_verbs[line->verb].form);
    for (size_t i = 0; i < line->args.len; i++) {
        const char *word = line->args.at[i];
        if (ingot_verbs[line->verb].assigns && !ingot_is_assignment(word))
            return ingot_fail(p, line->line, "%s: '%.40s' has no '='; write %s", name, word,
                              ingot_verbs[line->verb].form);
        const char *why = ingot_check_word(line->verb, word);
        if (why)
            return ingot_fail(p, line->line, "%s: '%.40s' %s", name, word, why);
    }
    return 0;
}

/* Keyword and words of one joined line. */
static int ingot_parse_line(struct ingot_parser *p, const char *text, struct ingot_line *line)
{
    size_t len = strcspn(text, " \t");
    char *word CLEANUP(mem_free) = str_printf("%.*s", (int)len, text);
    const char *rest = text + len + strspn(text + len, " \t");
    int verb = ingot_verb_of(word);

    if (verb < 0)
        return ingot_unknown(p, line->line, word);
    line->verb = (enum ingot_verb)verb;
    bool json = ingot_verbs[verb].json && rest[0] == '[';
    int failed = json ? ingot_json(p, line->line, rest, &line->args)
                      : ingot_words(p, line->line, rest, &line->args);
    if (failed)
        return failed;
    if (ingot_verbs[verb].assigns)
        ingot_old_form(line);
    failed = ingot_check(p, line);
    for (size_t i = 0; !failed && verb == INGOT_ENV && i < line->args.len; i++)
        config_setenv(&p->env, line->args.at[i]);
    return failed;
}

static int ingot_append(struct ingot_parser *p, struct ingotfile *file, struct ingot_line *line)
{
    if (file->len == INGOT_LINES_MAX)
        return ingot_fail(p, line->line, "more than %d lines", INGOT_LINES_MAX);
    if (file->len && line->verb == INGOT_FROM)
        return ingot_fail(p, line->line,
                          "FROM comes first, and once: build the other image "
                          "by itself and name it here");
    file->lines = mem_resize(file->lines, file->len + 1, sizeof(*file->lines));
    file->lines[file->len++] = *line;
    *line = (struct ingot_line){0};
    return 0;
}

static int ingot_parse_all(struct ingot_parser *p, struct ingotfile *file)
{
    struct buf text CLEANUP(buf_free) = {0};
    int number, failed = 0;

    while (!failed && ingot_next(p, &text, &number)) {
        struct ingot_line line = {.line = number};
        failed = ingot_parse_line(p, buf_text(&text), &line);
        if (!failed)
            failed = ingot_append(p, file, &line);
        strs_free(&line.args);
    }
    if (!failed && !file->len)
        return ingot_fail(p, max(p->line, 1), "nothing but comments; begin with FROM scratch");
    return failed;
}

int ingotfile_parse(const char *text, size_t len, struct ingotfile *out, struct err *err)
{
    struct ingot_parser parser = {.at = text, .end = text + len, .err = err};

    *out = (struct ingotfile){0};
    int failed = 0;
    const char *nul = len ? memchr(text, 0, len) : NULL;
    if (nul)
        failed = ingot_fail(&parser, 1, "holds bytes that are no text");
    if (!failed)
        failed = ingot_parse_all(&parser, out);
    strs_free(&parser.env);
    if (failed)
        ingotfile_free(out);
    return failed;
}

void ingotfile_free(struct ingotfile *file)
{
    for (size_t i = 0; i < file->len; i++)
        strs_free(&file->lines[i].args);
    free(file->lines);
    *file = (struct ingotfile){0};
}
