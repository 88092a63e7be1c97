#include "image/scripts.h"

#include "image/builder.h"
#include "image/config.h"
#include "image/elf_file.h"
#include "image/script.h"
#include "image/target.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/json.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

#define SCRIPTS_PLACE "/app" /* where the folder is in the guest */
#define SCRIPTS_PORT  "8000" /* of servers that we choose ourselves */

struct scripts {
    struct builder *b;
    char *folder; /* absolute; owned */
};

static char *scripts_path(const struct scripts *s, const char *name)
{
    return fs_join(s->folder, name);
}

static bool scripts_has(const struct scripts *s, const char *name)
{
    char *path CLEANUP(mem_free) = scripts_path(s, name);

    return fs_exists(path);
}

/* The interpreter of this machine, as the first word of what is started. */
static int scripts_start(struct scripts *s, const char *language, const char *program,
                         struct err *err)
{
    char *path CLEANUP(mem_free) = target_in_path(program);

    if (!path)
        return err_set(err, ENOENT, "%s: a %s project, but this machine has no '%s' in PATH",
                       s->folder, language, program);
    builder_progress(s->b, "%s project: %s", language, s->folder);
    return builder_add_program(s->b, path, &s->b->config.entrypoint, err);
}

static void add_words(struct strs *list, const char *text)
{
    char *copy CLEANUP(mem_free) = str_dup(text), *rest = copy, *word;

    while ((word = strsep(&rest, " \t")))
        if (*word)
            strs_add(list, word);
}

/* The file that npm starts for @word: node_modules/.bin/WORD is a link to it.  Owned by the caller,
 * relative to the folder; NULL if that is no script of node. */
static char *node_bin(const struct scripts *s, const char *word)
{
    struct script script CLEANUP(script_free) = {0};
    struct elf_map map CLEANUP(elf_unmap) = {0};
    char *link CLEANUP(mem_free) = str_printf("%s/node_modules/.bin/%s", s->folder, word);
    char *real CLEANUP(mem_free) = strchr(word, '/') ? NULL : fs_real(link, NULL);
    char *folder CLEANUP(mem_free) = fs_real(s->folder, NULL);
    char *inside CLEANUP(mem_free) = str_printf("%s/", folder ? folder : "");

    if (!real || !str_starts(real, inside) || elf_map(real, &map, NULL) ||
        !script_parse(map.data, map.len, &script))
        return NULL;
    const char *of = script.argument ? script.argument : fs_name(script.interpreter);
    return strcmp(of, "node") == 0 ? str_dup(real + strlen(inside)) : NULL;
}

/* A script of package.json: "node server.js --port 1", "NODE_ENV=production next start".  Sets its
 * variables and appends node's arguments to @argv; false: it needs a shell. */
static bool node_words(const struct scripts *s, const char *script, struct strs *argv)
{
    struct strs words CLEANUP(strs_free) = {0};
    size_t at = 0;

    if (strpbrk(script, "&|;<>$`\"'*"))
        return false;
    add_words(&words, script);
    while (at < words.len && strchr(words.at[at], '='))
        at++;
    if (at == words.len)
        return false;
    bool node = strcmp(words.at[at], "node") == 0;
    char *bin CLEANUP(mem_free) = node ? NULL : node_bin(s, words.at[at]);
    if (!node && !bin)
        return false;
    for (size_t i = 0; i < at; i++)
        config_setenv(&s->b->config.env, words.at[i]);
    if (bin)
        strs_add(argv, bin);
    for (size_t i = at + 1; i < words.len; i++)
        strs_add(argv, words.at[i]);
    return true;
}

static int add_node(struct scripts *s, struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};
    char *path CLEANUP(mem_free) = scripts_path(s, "package.json");
    json_t *package CLEANUP(json_put) = json_read(path, err);

    if (!package)
        return -err->code;
    if (json_object_size(json_object_get(package, "dependencies")) &&
        !scripts_has(s, "node_modules"))
        return err_set(err, ENOENT,
                       "%s: its dependencies are not installed; run 'npm install' there first",
                       s->folder);
    const char *script = json_str(json_object_get(package, "scripts"), "start", NULL);
    const char *file = json_str(package, "main", "index.js");
    if (script && !node_words(s, script, &words))
        return err_set(err, ENOTSUP,
                       "%s: its start script is for a shell: '%s'; write an Ingotfile, or make it "
                       "'node FILE'",
                       s->folder, script);
    if (!script && !scripts_has(s, file))
        file = "server.js"; /* what npm starts without a script */
    if (!script && !scripts_has(s, file))
        return err_set(err, ENOENT, "%s: neither a start script nor a file '%s'", path, file);
    if (!script)
        strs_add(&words, file);
    int failed = scripts_start(s, "Node", "node", err);
    strs_add_all(&s->b->config.entrypoint, &words);
    return failed;
}

/* Where pip has put packages inside of the folder, and sources that are not at its top. */
static void python_places(struct scripts *s)
{
    static const char *const patterns[] = {".venv/lib/python3*/site-packages",
                                           "venv/lib/python3*/site-packages", "src", "vendor"};
    struct buf places CLEANUP(buf_free) = {0};

    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        char *pattern CLEANUP(mem_free) = scripts_path(s, patterns[i]);
        glob_t found;
        if (glob(pattern, 0, NULL, &found))
            continue;
        buf_printf(&places, "%s" SCRIPTS_PLACE "%s",
                   places.len ? ":" : "PYTHONPATH=", found.gl_pathv[0] + strlen(s->folder));
        globfree(&found);
    }
    if (places.len)
        config_setenv(&s->b->config.env, buf_text(&places));
}

/* "flask>=2; extra" is installed here if a folder of its name is: "Flask" for
 * "flask-2.2.dist-info", as pip writes it, or the module itself. */
static bool python_is_installed(const char *name)
{
    static const char *const roots[] = {"/usr/lib/python3", "/usr/local/lib/python3*"};
    struct buf any CLEANUP(buf_free) = {0};
    bool hit = false;

    for (const char *c = name; *c; c++) { /* names are alike in any case, with - _ or . */
        char both[] = {'[', *c, (char)(*c ^ 0x20), ']', 0};
        bool letter = (*c | 0x20) >= 'a' && (*c | 0x20) <= 'z';
        buf_puts(&any, letter ? both : strchr("-_.", *c) ? "[-_.]" : (char[]){*c, 0});
    }
    for (size_t i = 0; i < 2 * ARRAY_LEN(roots) && !hit; i++) {
        char *pattern CLEANUP(mem_free) = str_printf("%s/dist-packages/%s%s", roots[i / 2],
                                                     buf_text(&any), i % 2 ? "-[0-9]*" : "");
        glob_t found;
        hit = glob(pattern, 0, NULL, &found) == 0;
        if (hit)
            globfree(&found);
    }
    return hit;
}

/* The first line of requirements.txt that this machine lacks, owned by the caller; or NULL. */
static char *python_lacks(const struct scripts *s)
{
    char *path CLEANUP(mem_free) = scripts_path(s, "requirements.txt");
    struct buf text CLEANUP(buf_free) = {0};
    char *line;

    if (scripts_has(s, ".venv") || scripts_has(s, "venv") || scripts_has(s, "vendor") ||
        fs_read(path, MIB(1), &text, &(struct err){0}) || !text.len)
        return NULL;
    for (char *rest = text.data; (line = strsep(&rest, "\n"));) {
        line[strcspn(line, " \t\r<>=!~;#[@")] = 0;
        if (*line && *line != '-' && !python_is_installed(line))
            return str_dup(line);
    }
    return NULL;
}

/* Of "[project.scripts]": NAME = "module:function", as a text for python3 -c; owned; or NULL. */
static char *python_script(const struct scripts *s)
{
    char *path CLEANUP(mem_free) = scripts_path(s, "pyproject.toml");
    struct buf text CLEANUP(buf_free) = {0};
    char module[128], function[128];

    if (fs_read(path, MIB(1), &text, &(struct err){0}) || !text.len)
        return NULL;
    const char *at = strstr(buf_text(&text), "[project.scripts]");
    at = at ? strchr(at, '=') : NULL;
    if (!at || sscanf(at, "= %*[\"']%127[A-Za-z0-9_.]:%127[A-Za-z0-9_.]", module, function) != 2)
        return NULL;
    return str_printf("import sys, %s; sys.exit(%s.%s())", module, module, function);
}

static int add_python(struct scripts *s, struct err *err)
{
    static const char *const files[] = {"__main__.py", "main.py", "app.py", "server.py", "run.py"};
    struct strs *words = &s->b->config.entrypoint;
    char *script CLEANUP(mem_free) = python_script(s);
    char *lacks CLEANUP(mem_free) = python_lacks(s);
    const char *file = NULL;

    for (size_t i = 0; i < ARRAY_LEN(files) && !file; i++)
        file = scripts_has(s, files[i]) ? files[i] : NULL;
    if (!script && !file)
        return err_set(err, ENOENT,
                       "%s: a Python project, but what starts it? neither [project.scripts] in "
                       "pyproject.toml nor main.py, app.py, server.py, run.py or __main__.py",
                       s->folder);
    if (lacks)
        return err_set(err, ENOENT,
                       "%s: requirements.txt asks for '%s', which is not installed; run 'python3 "
                       "-m venv .venv && .venv/bin/pip install -r requirements.txt' there first",
                       s->folder, lacks);
    python_places(s);
    int failed = scripts_start(s, "Python", "python3", err);
    if (failed)
        return failed;
    if (script)
        strs_add(words, "-c");
    strs_add(words, script ? script : file);
    return 0;
}

/* What starts a folder, by a file in it; the most telling first. */
static const struct {
    const char *file, *language, *program;
    const char *words[6];                           /* behind the interpreter */
    int (*add)(struct scripts *s, struct err *err); /* in place of all that; or NULL */
} scripts_kinds[] = {
    {"package.json", .add = add_node},
    {"pyproject.toml", .add = add_python},
    {"requirements.txt", .add = add_python},
    {"__main__.py", .add = add_python},
    {"main.py", .add = add_python},
    {"app.py", .add = add_python},
    {"config.ru", "Ruby", "puma", {"-b", "tcp://0.0.0.0:" SCRIPTS_PORT, "config.ru"}, NULL},
    {"main.rb", "Ruby", "ruby", {"main.rb"}, NULL},
    {"app.rb", "Ruby", "ruby", {"app.rb"}, NULL},
    {"index.php", "PHP", "php", {"-S", "0.0.0.0:" SCRIPTS_PORT}, NULL},
    {"index.js", "Node", "node", {"index.js"}, NULL},
    {"server.js", "Node", "node", {"server.js"}, NULL},
    {"index.html", "web", "python3", {"-m", "http.server", SCRIPTS_PORT}, NULL},
};

bool scripts_know(const char *folder)
{
    for (size_t i = 0; i < ARRAY_LEN(scripts_kinds); i++) {
        char *path CLEANUP(mem_free) = fs_join(folder, scripts_kinds[i].file);
        if (fs_exists(path))
            return true;
    }
    return false;
}

static void scripts_free(struct scripts *s)
{
    free(s->folder);
}

static int scripts_by_words(struct scripts *s, size_t kind, struct err *err)
{
    int failed = scripts_start(s, scripts_kinds[kind].language, scripts_kinds[kind].program, err);
    bool serves = false;

    for (const char *const *word = scripts_kinds[kind].words; !failed && *word; word++) {
        strs_add(&s->b->config.entrypoint, *word);
        serves |= strstr(*word, SCRIPTS_PORT) != NULL;
    }
    if (serves)
        strs_add(&s->b->config.exposed, SCRIPTS_PORT "/tcp");
    return failed;
}

int scripts_add(struct builder *b, const char *folder, struct err *err)
{
    static const char *const skip[] = {".git", "__pycache__", ".ingot-build", NULL};
    struct scripts s CLEANUP(scripts_free) = {.b = b, .folder = fs_real(folder, err)};
    size_t kind = 0;

    if (!s.folder)
        return -err->code;
    while (kind < ARRAY_LEN(scripts_kinds) - 1 && !scripts_has(&s, scripts_kinds[kind].file))
        kind++;
    int failed = scripts_kinds[kind].add ? scripts_kinds[kind].add(&s, err)
                                         : scripts_by_words(&s, kind, err);
    if (!failed)
        failed = tree_add_tree(&b->tree, SCRIPTS_PLACE, s.folder, skip, err);
    if (failed)
        return failed;
    free(b->config.workdir);
    b->config.workdir = str_dup(SCRIPTS_PLACE);
    return 0;
}
