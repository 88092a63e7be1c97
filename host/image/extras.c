#include "image/extras.h"

#include "image/closure.h"
#include "image/modules.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <errno.h>
#include <glob.h>
#include <regex.h>
#include <string.h>

extern const char runtimes_txt[];
extern const unsigned long runtimes_txt_len;

enum {
    EXTRAS_GROUPS = 10, /* {1}...{9}; number 0 is the whole match */
    EXTRAS_NEST_MAX = 8,
};

/* One pass over the table for one program. */
struct extras {
    struct closure *closure;
    const char *program; /* or NULL */
    struct strs *env, *exec;
    struct strs done;            /* sections that are in */
    char *groups[EXTRAS_GROUPS]; /* of the section's regex, owned */
    char *prefix;                /* owned; "" without a program */
    char *given;                 /* the same, of the program's path before links; owned */
};

const char *extras_table(size_t *len)
{
    *len = runtimes_txt_len;
    return runtimes_txt;
}

static void extras_free(struct extras *x)
{
    for (size_t i = 0; i < EXTRAS_GROUPS; i++)
        free(x->groups[i]);
    free(x->prefix);
    free(x->given);
    strs_free(&x->done);
}

/* The next line of the table: words, split by spaces; comments and empty lines are skipped.
 * Returns where to go on, or NULL at the end. */
static const char *extras_line(const char *at, struct strs *words)
{
    while (*at) {
        size_t len = strcspn(at, "\n");
        char *line CLEANUP(mem_free) = str_printf("%.*s", (int)len, at), *rest = line, *word;
        at += len + (at[len] == '\n');
        if (line[0] == '#')
            continue;
        strs_free(words);
        while ((word = strsep(&rest, " \t")))
            if (*word)
                strs_add(words, word);
        if (words->len)
            return at;
    }
    return NULL;
}

static bool extras_is_section(const struct strs *words, const char *name)
{
    const char *word = words->at[0];
    size_t len = strlen(word);

    if (word[0] != '[')
        return false;
    return !name || (strlen(name) == len - 2 && strncmp(word + 1, name, len - 2) == 0);
}

/* Whole-name match; the groups are remembered for the section's lines. */
static bool extras_match(struct extras *x, const char *pattern, const char *name)
{
    char *whole CLEANUP(mem_free) = str_printf("^(%s)$", pattern);
    regmatch_t at[EXTRAS_GROUPS + 1];
    regex_t regex;

    if (regcomp(&regex, whole, REG_EXTENDED) != 0)
        return false;
    bool hit = regexec(&regex, name, ARRAY_LEN(at), at, 0) == 0;
    for (size_t i = 0; hit && i < EXTRAS_GROUPS; i++) {
        regmatch_t group = at[i + 1]; /* number 1 is the parenthesis of ours */
        free(x->groups[i]);
        x->groups[i] = group.rm_so < 0 ? NULL
                                       : str_printf("%.*s", (int)(group.rm_eo - group.rm_so),
                                                    name + group.rm_so);
    }
    regfree(&regex);
    return hit;
}

static bool extras_match_library(struct extras *x, const char *pattern)
{
    for (size_t i = 0; i < x->closure->len; i++) {
        const char *path = x->closure->objects[i]->path;
        if (extras_match(x, pattern, strrchr(path, '/') + 1))
            return true;
        const char *soname = x->closure->objects[i]->elf.soname;
        if (soname && extras_match(x, pattern, soname))
            return true;
    }
    return false;
}

/* {1}, {prefix} and {given} replaced; NULL if a group has no value. */
static char *extras_expand(const struct extras *x, const char *text)
{
    struct buf out = {0};

    while (*text) {
        const char *value = NULL;
        size_t len = 0;
        if (str_starts(text, "{prefix}")) {
            value = x->prefix, len = strlen("{prefix}");
        } else if (str_starts(text, "{given}")) {
            value = x->given, len = strlen("{given}");
        } else if (text[0] == '{' && text[1] >= '1' && text[1] <= '9' && text[2] == '}') {
            value = x->groups[text[1] - '0'], len = 3;
        } else {
            buf_add(&out, text++, 1);
            continue;
        }
        if (!value) {
            buf_free(&out);
            return NULL;
        }
        buf_puts(&out, value);
        text += len;
    }
    return buf_take(&out);
}

static bool extras_when(struct extras *x, const struct strs *words)
{
    const char *what = words->len > 1 ? words->at[1] : "";

    if (strcmp(what, "always") == 0)
        return true;
    if (strcmp(what, "dynamic") == 0)
        return x->closure->len && x->closure->objects[0]->elf.interp;
    if (strcmp(what, "program") == 0)
        return x->program && extras_match(x, words->at[2], strrchr(x->program, '/') + 1);
    if (strcmp(what, "library") == 0)
        return extras_match_library(x, words->at[2]);
    if (strcmp(what, "has") == 0)
        return tree_follow(x->closure->tree, words->at[2]);
    if (strcmp(what, "file") == 0) {
        char *path CLEANUP(mem_free) = extras_expand(x, words->at[2]);
        return path && fs_exists(path);
    }
    for (size_t i = 2; strcmp(what, "symbol") == 0 && i < words->len; i++)
        if (closure_names(x->closure, words->at[i]))
            return true;
    return false;
}

static int extras_tree(struct extras *x, const char *path, char *const *skip, struct err *err)
{
    struct tree *tree = x->closure->tree;
    char *real CLEANUP(mem_free) = fs_real(path, NULL);

    if (!real || !fs_is_dir(real))
        return 0;
    int failed = tree_add_host(tree, path, err);
    return failed ? failed : tree_add_tree(tree, real, real, (const char *const *)skip, err);
}

static int extras_file(struct extras *x, const char *path, struct err *err)
{
    return fs_exists(path) ? tree_add_host(x->closure->tree, path, err) : 0;
}

/* A file of this machine under another name, and its owner there that of the folder it is put into.
 */
static int extras_copy(struct extras *x, const struct strs *words, struct err *err)
{
    struct tree *tree = x->closure->tree;
    const char *to = words->len > 2 ? words->at[2] : NULL;

    if (!to)
        return err_set(err, EINVAL, "runtimes.txt: 'copy %s' has no place", words->at[1]);
    if (tree_follow(tree, to) || !fs_exists(words->at[1]))
        return 0;
    int failed = tree_add_file(tree, to, words->at[1], err);
    char *folder CLEANUP(mem_free) = str_printf("%.*s", (int)(strrchr(to, '/') - to), to);
    const struct tree_node *above = tree_follow(tree, folder);
    struct tree_node *node = failed ? NULL : tree_follow(tree, to);
    if (node && above) {
        node->uid = above->uid;
        node->gid = above->gid;
    }
    return failed;
}

/* Does a `tree`, `file` or `program` line for everything that its pattern finds, in sorted order.
 */
static int extras_paths(struct extras *x, const struct strs *words, struct err *err)
{
    const char *verb = words->at[0];
    glob_t found;
    int failed = 0;

    if (glob(words->at[1], 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc && !failed; i++) {
        const char *path = found.gl_pathv[i];
        if (strcmp(verb, "tree") == 0)
            failed = extras_tree(x, path, words->at + 2, err);
        else if (strcmp(verb, "program") == 0)
            failed = closure_add_program(x->closure, path, false, err);
        else
            failed = extras_file(x, path, err);
    }
    globfree(&found);
    return failed;
}

static int extras_text(struct extras *x, const struct strs *words, struct err *err)
{
    struct buf text CLEANUP(buf_free) = {0};

    if (tree_follow(x->closure->tree, words->at[1]))
        return 0;
    for (size_t i = 2; i < words->len; i++) {
        buf_puts(&text, i > 2 ? " " : "");
        for (const char *c = words->at[i]; *c; c++) {
            bool newline = c[0] == '\\' && c[1] == 'n';
            buf_add(&text, newline ? "\n" : c, 1);
            c += newline;
        }
    }
    return tree_add_data(x->closure->tree, words->at[1], text.data, text.len, 0644, err);
}

static int extras_dir(struct extras *x, const struct strs *words, struct err *err)
{
    if (words->len < 3)
        return err_set(err, EINVAL, "runtimes.txt: 'dir %s' has no mode", words->at[1]);
    mode_t mode = (mode_t)strtoul(words->at[2], NULL, 8);
    return tree_add_dir(x->closure->tree, words->at[1], mode, err);
}

static int extras_section(struct extras *x, const char *name, int depth, struct err *err);

static int extras_do(struct extras *x, const struct strs *raw, int depth, struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};

    for (size_t i = 0; i < raw->len; i++) {
        char *word = extras_expand(x, raw->at[i]);
        if (!word)
            return 0;
        strs_take(&words, word);
    }
    const char *verb = words.at[0];
    if (words.len < 2 || strcmp(verb, "when") == 0)
        return 0;
    if (strcmp(verb, "tree") == 0 || strcmp(verb, "file") == 0 || strcmp(verb, "program") == 0)
        return extras_paths(x, &words, err);
    if (strcmp(verb, "package") == 0)
        return modules_add_package(x->closure->tree, words.at[1], err);
    if (strcmp(verb, "use") == 0)
        return extras_section(x, words.at[1], depth + 1, err);
    if (strcmp(verb, "dir") == 0)
        return extras_dir(x, &words, err);
    if (strcmp(verb, "text") == 0)
        return extras_text(x, &words, err);
    if (strcmp(verb, "copy") == 0)
        return extras_copy(x, &words, err);
    if (strcmp(verb, "env") == 0)
        strs_add(x->env, words.at[1]);
    else if (strcmp(verb, "exec") == 0)
        strs_add(x->exec, words.at[1]);
    else if (strcmp(verb, "lib") == 0)
        closure_add_library(x->closure, words.at[1]); /* passed over where it does not exist */
    return 0;
}

/* Bring in the lines of one section. */
static int extras_section(struct extras *x, const char *name, int depth, struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};
    bool inside = false;

    if (strs_has(&x->done, name) || depth > EXTRAS_NEST_MAX)
        return 0;
    strs_add(&x->done, name);
    for (const char *at = extras_line(runtimes_txt, &words); at; at = extras_line(at, &words)) {
        if (words.at[0][0] == '[') {
            inside = extras_is_section(&words, name);
            continue;
        }
        int failed = inside ? extras_do(x, &words, depth, err) : 0;
        if (failed)
            return failed;
    }
    return 0;
}

/* Bring in every section of which a `when` line holds. */
static int extras_automatic(struct extras *x, struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};
    char *section CLEANUP(mem_free) = NULL;

    for (const char *at = extras_line(runtimes_txt, &words); at; at = extras_line(at, &words)) {
        if (words.at[0][0] == '[') {
            free(section);
            section = str_printf("%.*s", (int)strlen(words.at[0]) - 2, words.at[0] + 1);
        }
        if (strcmp(words.at[0], "when") != 0 || !extras_when(x, &words))
            continue;
        int failed = extras_section(x, section, 0, err);
        if (failed)
            return failed;
    }
    return 0;
}

bool extras_know(const char *program)
{
    struct strs words CLEANUP(strs_free) = {0};
    struct extras x CLEANUP(extras_free) = {0};

    for (const char *at = extras_line(runtimes_txt, &words); at; at = extras_line(at, &words))
        if (words.len == 3 && strcmp(words.at[0], "when") == 0 &&
            strcmp(words.at[1], "program") == 0 && extras_match(&x, words.at[2], fs_name(program)))
            return true;
    return false;
}

static void extras_names(struct strs *names)
{
    struct strs words CLEANUP(strs_free) = {0};

    for (const char *at = extras_line(runtimes_txt, &words); at; at = extras_line(at, &words))
        if (words.at[0][0] == '[')
            strs_take(names, str_printf("%.*s", (int)strlen(words.at[0]) - 2, words.at[0] + 1));
}

static int extras_by_name(struct extras *x, const char *name, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};

    extras_names(&names);
    if (strs_has(&names, name))
        return extras_section(x, name, 0, err);
    const char *nearest = str_nearest(name, (const char *const *)names.at, names.len);
    if (nearest)
        return err_set(err, ERR_USAGE, "--with: no extras named '%s'; did you mean '%s'?", name,
                       nearest);
    struct buf list CLEANUP(buf_free) = {0};
    for (size_t i = 0; i < names.len; i++)
        buf_printf(&list, " %s", names.at[i]);
    return err_set(err, ERR_USAGE, "--with: no extras named '%s'; there are%s", name,
                   buf_text(&list));
}

static char *extras_prefix(const char *program)
{
    char *prefix = str_dup(program ? program : "");

    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(prefix, '/');
        if (slash)
            *slash = 0;
    }
    return prefix;
}

/* A shared object, or what may be a helper that the program starts. */
static bool extras_is_object(const struct tree_node *node)
{
    const char *name = strrchr(node->path, '/') + 1;

    return node->kind == TREE_FILE && (str_ends(name, ".so") || strstr(name, ".so.") ||
                                       str_ends(name, ".node") || node->mode & 0100);
}

static bool extras_seen(const struct closure *closure, const char *host)
{
    for (size_t i = 0; i < closure->len; i++)
        if (strcmp(closure->objects[i]->path, host) == 0)
            return true;
    return false;
}

int extras_complete(struct closure *closure, struct err *err)
{
    /* The tree grows while we walk it: what is added is in the closure already. */
    for (size_t i = 0, end = closure->tree->len; i < end; i++) {
        const struct tree_node *node = closure->tree->nodes[i];
        if (!extras_is_object(node) || extras_seen(closure, node->source))
            continue;
        int failed = closure_add_plugin(closure, node->source, err);
        if (failed)
            return failed;
    }
    return 0;
}

int extras_add(struct closure *closure, const char *program, const struct strs *with, bool above,
               struct strs *env, struct strs *exec, struct err *err)
{
    struct extras x CLEANUP(extras_free) = {
        .closure = closure,
        .program = program,
        .env = env,
        .exec = exec,
        .prefix = extras_prefix(program),
        .given = extras_prefix(closure->len ? closure->objects[0]->path : NULL)};

    if (above)
        strs_add(&x.done, "base");
    int failed = extras_automatic(&x, err);
    for (size_t i = 0; with && !failed && i < with->len; i++)
        failed = extras_by_name(&x, with->at[i], err);
    if (!failed)
        failed = extras_complete(closure, err);
    /* Libraries that came with a runtime may have wishes of their own: openssl with python. */
    return failed ? failed : extras_automatic(&x, err);
}
