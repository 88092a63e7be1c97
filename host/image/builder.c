#include "image/builder.h"

#include "image/cache.h"
#include "image/config.h"
#include "image/erofs.h"
#include "image/extras.h"
#include "image/imports.h"
#include "image/modules.h"
#include "image/patch/add.h"
#include "image/store.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int builder_init(struct builder *b, const struct image_opts *opts, struct err *err)
{
    static const struct image_opts none;
    char *scratch = store_scratch(err);

    if (!scratch)
        return -err->code;
    *b = (struct builder){.opts = opts ? opts : &none, .scratch = scratch, .scratch_base = true};
    b->compression = b->opts->compression;
    clock_gettime(CLOCK_REALTIME, &b->began);
    closure_init(&b->closure, &b->tree);
    config_defaults(&b->config);
    return 0;
}

void builder_fini(struct builder *b)
{
    closure_free(&b->closure);
    tree_free(&b->tree);
    image_config_free(&b->config);
    strs_free(&b->base);
    strs_free(&b->started);
    strs_free(&b->scripts);
    free(b->program);
    fs_tmpdir_remove(&b->scratch);
}

void builder_progress(const struct builder *b, const char *format, ...)
{
    va_list args;

    if (b->opts->quiet || !isatty(2))
        return;
    va_start(args, format);
    fputs("ingot: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* "HOST:GUEST", split at the last colon that a slash follows. */
static int builder_split(const char *pair, char **host, char **guest, struct err *err)
{
    const char *colon = strrchr(pair, ':');

    *host = colon ? str_printf("%.*s", (int)(colon - pair), pair) : str_dup(pair);
    if (!colon) {
        char *clean CLEANUP(mem_free) = path_clean("/", pair);
        *guest = str_dup(strrchr(clean, '/'));
    } else {
        *guest = path_clean("/", colon + 1);
    }
    if (colon && (colon[1] != '/' || colon == pair))
        return err_set(err, ERR_USAGE, "--file '%s': write HOST:GUEST with an absolute guest path",
                       pair);
    return 0;
}

static int builder_add_pair(struct tree *tree, const char *pair, struct err *err)
{
    char *host CLEANUP(mem_free) = NULL, *guest CLEANUP(mem_free) = NULL;

    int failed = builder_split(pair, &host, &guest, err);
    if (failed)
        return failed;
    char *real CLEANUP(mem_free) = fs_real(host, err);
    if (!real)
        return err_prefix(err, "--file");
    if (fs_is_dir(real))
        return tree_add_tree(tree, guest, real, NULL, err);
    if (access(real, R_OK) < 0)
        return err_errno(err, errno, "--file: %s", host);
    return tree_add_file(tree, guest, real, err);
}

int builder_add_pairs(struct tree *tree, const struct strs *pairs, struct err *err)
{
    for (size_t i = 0; pairs && i < pairs->len; i++) {
        int failed = builder_add_pair(tree, pairs->at[i], err);
        if (failed)
            return failed;
    }
    return 0;
}

/* The guest reads its configuration from the image itself. */
static int builder_add_config(struct builder *b, struct err *err)
{
    json_t *root CLEANUP(json_put) = json_pack("{s:s, s:s, s:o}", "architecture", "amd64", "os",
                                               "linux", "config", config_json(&b->config));
    char *text CLEANUP(mem_free) = json_text(root, 0);

    return tree_add_data(&b->tree, "/.ingot/config.json", text, strlen(text), 0644, err);
}

static void builder_add_env(struct builder *b, const struct strs *env)
{
    for (size_t i = 0; i < env->len; i++) {
        char *name CLEANUP(mem_free) =
            str_printf("%.*s", (int)strcspn(env->at[i], "="), env->at[i]);
        if (!config_getenv(&b->config.env, name)) /* what the user said goes first */
            strs_add(&b->config.env, env->at[i]);
    }
}

static int builder_patch(struct builder *b, struct err *err)
{
    char *why CLEANUP(mem_free) = NULL;
    bool complete;

    if (b->opts->no_patch)
        return 0;
    int failed = patch_add_all(&b->tree, &why, err);
    if (failed)
        return failed;
    if (why && b->opts->seal)
        return err_set(err, ENOENT, "--seal: %s", why);
    if (why) {
        builder_progress(b, "system calls stay instructions: %s", why);
        return 0;
    }
    failed = patch_add_calls(&b->tree, &b->base, b->opts->allow, &complete, err);
    if (!failed && b->opts->seal && !complete)
        return err_set(err, ENOENT,
                       "--seal: the image that this one is made from was built "
                       "without patches; build it again");
    if (!failed && b->opts->seal)
        config_setenv(&b->config.labels, "org.ingot.seal=1");
    return failed;
}

/* Scripts and modules of the program's language that are in by now, before its own library comes:
 * those that were copied, or stand beside a script. */
static int builder_add_modules(struct builder *b, struct err *err)
{
    struct imports imports CLEANUP(imports_free) = {0};
    struct strs programs CLEANUP(strs_free) = {0};
    const char *language = b->program ? imports_language(b->program) : NULL;

    if (b->opts->imports)
        strs_add_all(&imports.names, b->opts->imports);
    for (size_t i = 0; language && i < b->tree.len; i++) {
        const struct tree_node *node = b->tree.nodes[i];
        bool vendored = strstr(node->path, "/node_modules/") || strstr(node->path, "-packages/");
        if (node->kind != TREE_FILE || vendored)
            continue;
        const char *own = imports_language(node->path);
        if ((own && strcmp(own, language) == 0) || strs_has(&b->scripts, node->path))
            imports_scan_file(&imports, language, node->source);
    }
    for (size_t i = 0; language && i < b->scripts.len; i++) { /* those started by a link's name */
        const struct tree_node *link = tree_find(&b->tree, b->scripts.at[i]);
        const struct tree_node *node = tree_follow(&b->tree, b->scripts.at[i]);
        if (link && node && node != link && node->kind == TREE_FILE)
            imports_scan_file(&imports, language, node->source);
    }
    int failed = modules_add(&b->tree, &imports.names, b->program, NULL, err);
    modules_programs(&imports.names, &programs);
    for (size_t i = 0; i < programs.len && !failed; i++)
        failed = builder_add_started(b, programs.at[i], err);
    for (size_t i = 0; language && i < b->scripts.len && !failed; i++)
        failed = modules_add_of(&b->tree, language, b->scripts.at[i], NULL, err);
    if (!failed && b->program && !language && !extras_know(b->program))
        failed = modules_add_of(&b->tree, NULL, b->program, NULL, err);
    return failed;
}

/* After everything else: what is there stays. */
static int builder_add_boot(struct builder *b, struct err *err)
{
    struct strs programs CLEANUP(strs_free) = {0};
    int failed = 0;

    if (b->program)
        strs_add(&programs, b->program);
    strs_add_all(&programs, &b->scripts);
    strs_add_all(&programs, &b->started);
    for (size_t i = 0; b->opts->imports && i < b->opts->imports->len; i++) { /* archives */
        const char *name = strchr(b->opts->imports->at[i], ':');
        strs_add(&programs, name ? name + 1 : "");
    }
    for (size_t i = 0; i < programs.len && !failed; i++)
        if (str_starts(programs.at[i], "/usr/")) /* else no package has brought it */
            failed = modules_add_boot(&b->tree, programs.at[i], NULL, err);
    return failed;
}

static int builder_fill(struct builder *b, struct err *err)
{
    struct strs env CLEANUP(strs_free) = {0}, exec CLEANUP(strs_free) = {0};

    int failed = builder_add_pairs(&b->tree, b->opts->files, err);
    for (size_t i = 0; !failed && b->opts->exec && i < b->opts->exec->len; i++)
        if (builder_add_exec(b, b->opts->exec->at[i], err))
            failed = err_prefix(err, "--allow-exec");
    if (!failed)
        failed = builder_add_modules(b, err);
    bool asked = b->opts->with && b->opts->with->len;
    if (!failed && (b->scratch_base || b->program || asked))
        failed =
            extras_add(&b->closure, b->program, b->opts->with, !b->scratch_base, &env, &exec, err);
    if (!failed)
        failed = builder_add_boot(b, err);
    for (size_t i = 0; !failed && i < b->started.len; i++)
        failed = extras_add(&b->closure, b->started.at[i], NULL, true, &env, &exec, err);
    if (failed)
        return failed;
    for (size_t i = 0; i < exec.len; i++)
        builder_allow_exec(b, exec.at[i]);
    builder_add_env(b, &env);
    failed = closure_finish(&b->closure, err);
    if (!failed)
        failed = builder_patch(b, err);
    return failed ? failed : builder_add_config(b, err);
}

/* Who gives an image away gives away the keys and passwords in it. */
static void builder_tell_private(const struct builder *b)
{
    const char *first = NULL;
    size_t others = 0;

    for (size_t i = 0; i < b->tree.len; i++) {
        const struct tree_node *node = b->tree.nodes[i];
        if (node->kind != TREE_FILE || node->mode & S_IROTH || !str_starts(node->source, "/etc/"))
            continue;
        others += first != NULL;
        first = first ? first : node->source;
    }
    if (!first)
        return;
    fprintf(stderr, "ingot build: the image has %s", first);
    if (others)
        fprintf(stderr, " and %zu more", others);
    fprintf(stderr, ", which not everybody here may read: mind whom you give it to\n");
}

int builder_finish(struct builder *b, const char *name, const char *key, char id[65],
                   struct err *err)
{
    char *layer CLEANUP(mem_free) = fs_join(b->scratch, "layer.erofs");
    struct strs links CLEANUP(strs_free) = {0};

    int failed = builder_fill(b, err);
    if (failed)
        return failed;
    builder_progress(b, "writing an image of %zu files", b->tree.len);
    failed = erofs_write(&b->tree, b->compression, b->scratch, layer, err);
    if (failed)
        return failed;
    tree_links(&b->tree, &links);
    if (name && !b->opts->quiet)
        builder_tell_private(b);
    if (key)
        cache_store(key, &b->tree.deps, &b->began);
    return store_put(&(struct store_image){.name = name,
                                           .cache = key,
                                           .base = &b->base,
                                           .layer = layer,
                                           .links = &links,
                                           .config = &b->config},
                     id, err);
}
