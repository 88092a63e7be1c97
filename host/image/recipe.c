#include "image/recipe.h"

#include "image/builder.h"
#include "image/config.h"
#include "image/container.h"
#include "image/ingotfile.h"
#include "image/source.h"
#include "image/store.h"
#include "image/target.h"
#include "lib/cleanup.h"
#include "lib/duration.h"
#include "lib/fs.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

struct recipe {
    struct builder *b;
    char *context; /* absolute, links resolved; owned */
};

/* FROM oci:FOLDER and its kin: relative ones begin in the context. */
static int recipe_from_container(struct recipe *r, const char *word, struct err *err)
{
    struct target target CLEANUP(target_free) = {0};
    const char *rest = strchr(word, ':') + 1;
    char *full CLEANUP(mem_free) =
        *rest == '/' ? str_dup(word)
                     : str_printf("%.*s%s/%s", (int)(rest - word), word, r->context, rest);

    int failed = target_classify(full, &target, err);
    return failed ? failed : container_add(r->b, &target, err);
}

static int recipe_from(struct recipe *r, const struct ingot_line *line, struct err *err)
{
    struct image image CLEANUP(image_free) = {0};
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};

    if (container_prefixed(line->args.at[0]))
        return recipe_from_container(r, line->args.at[0], err);
    if (strcmp(line->args.at[0], "scratch") == 0)
        return 0;
    int failed = store_open(&store, err);
    if (!failed)
        failed = store_find(&store, line->args.at[0], &entry, err);
    if (!failed)
        failed = store_load(&store, &entry, &image, err);
    if (!failed)
        failed = store_verify(&image, err);
    if (failed)
        return failed;
    r->b->scratch_base = false;
    strs_add_all(&r->b->base, &image.layers);
    strs_add_all(&r->b->tree.below, &image.links);
    image_config_free(&r->b->config);
    r->b->config = TAKE(image.config, (struct image_config){0});
    /* Any change of the store may have given the name to another image: build again. */
    tree_depend(&r->b->tree, store.root);
    return 0;
}

/* A path below the context: "/" and ".." lead no further up than that, as in Docker. */
static char *recipe_inside(const struct recipe *r, const char *path)
{
    char *full CLEANUP(mem_free) = path_clean("/", path);

    return fs_join(r->context, full);
}

/* One source of a COPY, to @target; @into: the target is a folder that the source goes into. */
static int recipe_copy_one(struct recipe *r, const char *source, const char *target, bool into,
                           struct err *err)
{
    struct tree *tree = &r->b->tree;
    char *real CLEANUP(mem_free) = fs_real(source, err);

    if (!real)
        return -err->code;
    if (fs_is_dir(real)) /* its content, as Docker copies it */
        return tree_add_tree(tree, target, real, NULL, err);
    if (access(real, R_OK) < 0)
        return err_errno(err, errno, "%s", source);
    char *inside CLEANUP(mem_free) = into ? fs_join(target, fs_name(source)) : str_dup(target);
    return tree_add_file(tree, inside, real, err);
}

static int recipe_copy_pattern(struct recipe *r, const char *word, const char *target, bool into,
                               struct err *err)
{
    char *pattern CLEANUP(mem_free) = recipe_inside(r, word);
    glob_t found;
    int failed = 0;

    /* Beyond Docker: an absolute path that the folder does not have is one of this machine. */
    if (glob(pattern, 0, NULL, &found) != 0 && (word[0] != '/' || glob(word, 0, NULL, &found) != 0))
        return err_set(err, ENOENT, "COPY: '%s' matches nothing in %s", word, r->context);
    for (size_t i = 0; i < found.gl_pathc && !failed; i++)
        failed = recipe_copy_one(r, found.gl_pathv[i], target, into || found.gl_pathc > 1, err);
    globfree(&found);
    return failed ? err_prefix(err, "COPY") : 0;
}

static int recipe_copy(struct recipe *r, const struct ingot_line *line, struct err *err)
{
    size_t sources = line->args.len - 1;
    const char *word = line->args.at[sources];
    char *target CLEANUP(mem_free) = path_clean(r->b->config.workdir, word);
    const struct tree_node *there = tree_follow(&r->b->tree, target);
    bool into = str_ends(word, "/") || str_ends(word, "/.") || strcmp(word, ".") == 0 ||
                sources > 1 || (there && there->kind == TREE_DIR);

    for (size_t i = 0; i < sources; i++) {
        int failed = recipe_copy_pattern(r, line->args.at[i], target, into, err);
        if (failed)
            return failed;
    }
    return 0;
}

/* A file of the context; else one of this machine, by an absolute path or a name in PATH.  Owned by
 * the caller; NULL: nothing. */
static char *recipe_find_program(const struct recipe *r, const char *word)
{
    char *inside = recipe_inside(r, word);

    if (fs_exists(inside))
        return inside;
    free(inside);
    if (word[0] == '/')
        return fs_exists(word) ? str_dup(word) : NULL;
    return target_in_path(word);
}

static int recipe_program(struct recipe *r, const struct ingot_line *line, struct err *err)
{
    struct target target CLEANUP(target_free) = {0};
    struct image_config *config = &r->b->config;
    const char *word = line->args.at[0];
    char *path CLEANUP(mem_free) = recipe_find_program(r, word);

    if (!path)
        return err_set(err, ENOENT, "PROGRAM: %s: no such file %s in %s", word,
                       strchr(word, '/') ? "here or" : "in PATH or", r->context);
    int failed = target_classify(path, &target, err);
    if (failed)
        return failed;
    if (target.kind == TARGET_INGOTFILE)
        return err_set(err, EINVAL, "PROGRAM: %s is an Ingotfile itself; use FROM", word);
    strs_free(&config->entrypoint); /* filled by what follows */
    failed = target.kind == TARGET_PROGRAM
                 ? builder_add_program(r->b, path, &config->entrypoint, err)
                 : source_add(r->b, &target, err);
    for (size_t i = 1; !failed && i < line->args.len; i++)
        strs_add(&config->entrypoint, line->args.at[i]);
    return failed;
}

static void recipe_list(struct strs *list, const struct strs *words)
{
    strs_free(list);
    strs_add_all(list, words);
}

static void recipe_expose(struct strs *exposed, const struct strs *words)
{
    for (size_t i = 0; i < words->len; i++) {
        char *port = str_printf("%s%s", words->at[i], strchr(words->at[i], '/') ? "" : "/tcp");
        if (strs_has(exposed, port))
            free(port);
        else
            strs_take(exposed, port);
    }
}

static int recipe_workdir(struct recipe *r, const char *path, struct err *err)
{
    char *clean = path_clean(r->b->config.workdir, path);

    free(r->b->config.workdir);
    r->b->config.workdir = clean;
    if (tree_follow(&r->b->tree, clean))
        return 0;
    return tree_add_dir(&r->b->tree, clean, 0755, err);
}

static int recipe_volume(struct recipe *r, const struct strs *words, struct err *err)
{
    int failed = 0;

    for (size_t i = 0; i < words->len && !failed; i++) {
        if (!strs_has(&r->b->config.volumes, words->at[i]))
            strs_add(&r->b->config.volumes, words->at[i]);
        if (!tree_follow(&r->b->tree, words->at[i]))
            failed = tree_add_dir(&r->b->tree, words->at[i], 0755, err);
    }
    return failed;
}

static int recipe_exec(struct recipe *r, const struct strs *words, struct err *err)
{
    int failed = 0;

    for (size_t i = 0; i < words->len && !failed; i++)
        failed = builder_add_exec(r->b, words->at[i], err);
    return failed ? err_prefix(err, "EXEC") : 0;
}

/* "--interval=30s" and the like, before the check itself. */
static int recipe_health_option(struct image_health *health, const char *word, struct err *err)
{
    const struct {
        const char *name;
        int64_t *ns;
    } times[] = {
        {"--interval=", &health->interval_ns},
        {"--timeout=", &health->timeout_ns},
        {"--start-period=", &health->start_ns},
    };
    u64 value;

    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        if (!str_starts(word, times[i].name))
            continue;
        if (!duration_parse(word + strlen(times[i].name), &value) || value > INT32_MAX)
            return err_set(err, EINVAL, "HEALTHCHECK %s: no length of time; say 30s or 1m", word);
        *times[i].ns = (int64_t)value * 1000000;
        return 0;
    }
    if (!str_starts(word, "--retries="))
        return err_set(err, EINVAL,
                       "HEALTHCHECK %s: there are --interval, --timeout, --start-period and "
                       "--retries",
                       word);
    if (str_to_u64(word + strlen("--retries="), &value) || !value || value > 1000)
        return err_set(err, EINVAL, "HEALTHCHECK %s: it is not in 1 to 1000", word);
    health->retries = (int64_t)value;
    return 0;
}

static int recipe_health(struct image_health *health, const struct strs *words, struct err *err)
{
    size_t at = 0;

    strs_free(&health->test);
    *health = (struct image_health){0};
    for (; at < words->len && str_starts(words->at[at], "--"); at++) {
        int failed = recipe_health_option(health, words->at[at], err);
        if (failed)
            return failed;
    }
    if (at == words->len)
        return err_set(err, EINVAL, "HEALTHCHECK: nothing to ask; say tcp:PORT or http:PORT/PATH");
    if (strcmp(words->at[at], "CMD") != 0 && strcmp(words->at[at], "NONE") != 0)
        strs_add(&health->test, "CMD");
    for (; at < words->len; at++)
        strs_add(&health->test, words->at[at]);
    return 0;
}

static int recipe_line(struct recipe *r, const struct ingot_line *line, struct err *err)
{
    struct image_config *config = &r->b->config;
    const struct strs *words = &line->args;

    switch (line->verb) {
    case INGOT_FROM:
        return recipe_from(r, line, err);
    case INGOT_COPY:
        return recipe_copy(r, line, err);
    case INGOT_PROGRAM:
        return recipe_program(r, line, err);
    case INGOT_WORKDIR:
        return recipe_workdir(r, words->at[0], err);
    case INGOT_VOLUME:
        return recipe_volume(r, words, err);
    case INGOT_EXEC:
        return recipe_exec(r, words, err);
    case INGOT_EXPOSE:
        recipe_expose(&config->exposed, words);
        return 0;
    case INGOT_ENTRYPOINT: /* arguments of the image below were for another program */
        recipe_list(&config->entrypoint, words);
        strs_free(&config->cmd);
        return 0;
    case INGOT_CMD:
        recipe_list(&config->cmd, words);
        return 0;
    case INGOT_STOPSIGNAL:
        free(config->stopsignal);
        config->stopsignal = str_dup(words->at[0]);
        return 0;
    case INGOT_USER:
        free(config->user);
        config->user = str_dup(words->at[0]);
        return 0;
    case INGOT_COMPRESS: /* the command line's word is the last */
        if (r->b->opts->compression == EROFS_COMPRESSION_DEFAULT)
            r->b->compression = erofs_compression_named(words->at[0]);
        return 0;
    case INGOT_HEALTHCHECK:
        return recipe_health(&config->health, words, err);
    case INGOT_ENV:
        for (size_t i = 0; i < words->len; i++)
            config_setenv(&config->env, words->at[i]);
        return 0;
    case INGOT_LABEL:
        for (size_t i = 0; i < words->len; i++)
            config_setenv(&config->labels, words->at[i]);
        return 0;
    case INGOT_VERBS:
        break;
    }
    return 0;
}

/* What was copied and is started needs its libraries as much as what PROGRAM adds. */
static int recipe_complete(struct recipe *r, struct err *err)
{
    const struct image_config *config = &r->b->config;
    const char *start = config->entrypoint.len ? config->entrypoint.at[0] : config->cmd.at[0];
    char *path CLEANUP(mem_free) = path_clean(config->workdir, start);
    const struct tree_node *node = tree_follow(&r->b->tree, path);

    if (r->b->program || !node || node->kind != TREE_FILE)
        return 0;
    return builder_complete_program(r->b, node->source, err);
}

static void recipe_free(struct recipe *r)
{
    free(r->context);
}

int recipe_apply(struct builder *b, const char *context, const char *recipe, struct err *err)
{
    struct recipe r CLEANUP(recipe_free) = {.b = b, .context = fs_real(context, err)};
    struct ingotfile file CLEANUP(ingotfile_free) = {0};
    struct buf text CLEANUP(buf_free) = {0};

    if (!r.context)
        return -err->code;
    char *real CLEANUP(mem_free) = fs_real(recipe, err);
    if (!real || fs_read(real, MIB(1), &text, err) < 0)
        return -err->code;
    tree_depend(&b->tree, real);
    int failed = ingotfile_parse(buf_text(&text), text.len, &file, err);
    if (failed)
        return err_prefix(err, "%s", recipe);
    for (size_t i = 0; i < file.len; i++) {
        failed = recipe_line(&r, &file.lines[i], err);
        if (failed)
            return err_prefix(err, "%s: line %d", recipe, file.lines[i].line);
    }
    if (!b->config.entrypoint.len && !b->config.cmd.len)
        return err_set(err, EINVAL, "%s: nothing to start; add PROGRAM, ENTRYPOINT or CMD", recipe);
    failed = recipe_complete(&r, err);
    return failed ? err_prefix(err, "%s", recipe) : 0;
}
