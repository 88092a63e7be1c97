#include "image/tree_priv.h"

#include "lib/cleanup.h"
#include "lib/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    TREE_LINKS_MAX = 40,      /* as the kernel: more is a loop */
    TREE_SYSTEM_ID_MAX = 999, /* Debian policy 9.2.2: people begin behind it */
    TREE_DEPTH_MAX = 64,      /* folders below each other */
};

void tree_node_free(struct tree_node *node)
{
    free(node->path);
    free(node->source);
    buf_free(&node->data);
    free(node);
}

void tree_free(struct tree *tree)
{
    for (size_t i = 0; i < tree->len; i++)
        tree_node_free(tree->nodes[i]);
    free(tree->nodes);
    free(tree->buckets);
    free(tree->built);
    strs_free(&tree->below);
    strs_free(&tree->deps);
    *tree = (struct tree){0};
}

/* What follows the scratch folder in @host, beginning with a slash; NULL outside of it. */
static const char *tree_built(const struct tree *tree, const char *host)
{
    size_t len = tree->built ? strlen(tree->built) : 0;

    return len && str_starts(host, tree->built) && host[len] == '/' ? host + len : NULL;
}

char *tree_guest_path(const struct tree *tree, const char *host)
{
    const char *built = tree_built(tree, host);

    return built ? str_printf("%s%s", TREE_BUILT, built) : str_dup(host);
}

void tree_depend(struct tree *tree, const char *host)
{
    if (!tree_built(tree, host)) /* what it was built from counts, and is known elsewhere */
        strs_add(&tree->deps, host);
}

static size_t tree_hash(const char *path)
{
    u64 hash = 14695981039346656037u; /* FNV-1a */

    for (; *path; path++)
        hash = (hash ^ (u8)*path) * 1099511628211u;
    return hash ^ hash >> 32;
}

/* The bucket that holds @path, or the empty one where it would go. */
static u32 *tree_bucket(const struct tree *tree, const char *path)
{
    size_t at = tree_hash(path) & (tree->nr_buckets - 1);

    while (tree->buckets[at] && strcmp(tree->nodes[tree->buckets[at] - 1]->path, path) != 0)
        at = (at + 1) & (tree->nr_buckets - 1);
    return &tree->buckets[at];
}

void tree_rehash(struct tree *tree, size_t nr_buckets)
{
    free(tree->buckets);
    tree->buckets = mem_new(nr_buckets * sizeof(*tree->buckets));
    tree->nr_buckets = nr_buckets;
    for (size_t i = 0; i < tree->len; i++)
        *tree_bucket(tree, tree->nodes[i]->path) = (u32)i + 1;
}

struct tree_node *tree_exact(const struct tree *tree, const char *path)
{
    if (!tree->nr_buckets)
        return NULL;
    u32 *bucket = tree_bucket(tree, path);
    return *bucket ? tree->nodes[*bucket - 1] : NULL;
}

struct tree_node *tree_insert(struct tree *tree, char *path, enum tree_kind kind)
{
    struct tree_node *node = mem_new(sizeof(*node));

    *node = (struct tree_node){.kind = kind, .path = path, .mtime = {.tv_sec = TREE_EPOCH}};
    if (2 * (tree->len + 1) > tree->nr_buckets)
        tree_rehash(tree, tree->nr_buckets ? tree->nr_buckets * 2 : 256);
    if (tree->len == tree->cap) {
        tree->cap = tree->cap ? tree->cap * 2 : 128;
        tree->nodes = mem_resize(tree->nodes, tree->cap, sizeof(*tree->nodes));
    }
    tree->nodes[tree->len++] = node;
    *tree_bucket(tree, path) = (u32)tree->len;
    return node;
}

char *path_clean(const char *base, const char *path)
{
    char *all CLEANUP(mem_free) = path[0] == '/' ? str_dup(path) : str_printf("%s/%s", base, path);
    struct buf out CLEANUP(buf_free) = {0};
    char *rest = all, *part;

    while ((part = strsep(&rest, "/"))) {
        if (!*part || strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") != 0) {
            buf_printf(&out, "/%s", part);
            continue;
        }
        while (out.len && out.data[--out.len] != '/')
            ;
        if (out.data)
            out.data[out.len] = 0;
    }
    return out.len ? buf_take(&out) : str_dup("/");
}

char *path_parent(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == path ? str_dup("/") : str_printf("%.*s", (int)(slash - path), path);
}

/* Where a link at canonical @path leads, in this tree or in the layers below; else NULL. */
static const char *tree_link_at(const struct tree *tree, const char *path)
{
    const struct tree_node *node = tree_exact(tree, path);
    size_t len = strlen(path);

    if (node)
        return node->kind == TREE_LINK ? node->source : NULL;
    for (size_t i = 0; i < tree->below.len; i++)
        if (strncmp(tree->below.at[i], path, len) == 0 && tree->below.at[i][len] == '=')
            return tree->below.at[i] + len + 1;
    return NULL;
}

/* As tree_canonical(). @links: how many may be followed yet, in all */
static char *canonical_within(const struct tree *tree, const char *path, bool follow_last,
                              int *links)
{
    char *clean CLEANUP(mem_free) = path_clean("/", path);

    if (strcmp(clean, "/") == 0)
        return TAKE(clean, NULL);
    char *above CLEANUP(mem_free) = path_parent(clean);
    char *parent CLEANUP(mem_free) = canonical_within(tree, above, true, links);
    if (!parent)
        return NULL;
    char *here = fs_join(parent, fs_name(clean));
    const char *link = follow_last ? tree_link_at(tree, here) : NULL;
    if (!link)
        return here;
    char *target CLEANUP(mem_free) = path_clean(parent, link);
    free(here);
    return (*links)-- ? canonical_within(tree, target, true, links) : NULL;
}

char *tree_canonical(const struct tree *tree, const char *path, bool follow_last)
{
    int links = TREE_LINKS_MAX;

    return canonical_within(tree, path, follow_last, &links);
}

struct tree_node *tree_find(const struct tree *tree, const char *path)
{
    char *canonical CLEANUP(mem_free) = tree_canonical(tree, path, false);

    return canonical ? tree_exact(tree, canonical) : NULL;
}

struct tree_node *tree_follow(const struct tree *tree, const char *path)
{
    char *canonical CLEANUP(mem_free) = tree_canonical(tree, path, true);

    return canonical ? tree_exact(tree, canonical) : NULL;
}

int tree_make_dirs(struct tree *tree, const char *path, struct err *err)
{
    const struct tree_node *node = tree_exact(tree, path);

    if (node && node->kind == TREE_DIR)
        return 0;
    if (node)
        return err_set(err, ENOTDIR, "%s: a file of the image is in the way of a folder", path);
    if (strcmp(path, "/") != 0) {
        char *parent CLEANUP(mem_free) = path_parent(path);
        int failed = tree_make_dirs(tree, parent, err);
        if (failed)
            return failed;
    }
    tree_insert(tree, str_dup(path), TREE_DIR)->mode = 0755;
    return 0;
}

int tree_add_dir(struct tree *tree, const char *path, mode_t mode, struct err *err)
{
    char *canonical CLEANUP(mem_free) = tree_canonical(tree, path, true);

    if (!canonical)
        return err_errno(err, ELOOP, "%s", path);
    int failed = tree_make_dirs(tree, canonical, err);
    if (!failed)
        tree_exact(tree, canonical)->mode = mode & 07777;
    return failed;
}

/* Makes room for a node that is no folder: parents made, an old node of this path emptied. */
static int tree_place(struct tree *tree, const char *path, enum tree_kind kind,
                      struct tree_node **out, struct err *err)
{
    char *canonical = tree_canonical(tree, path, kind != TREE_LINK);

    if (!canonical)
        return err_errno(err, ELOOP, "%s", path);
    char *parent CLEANUP(mem_free) = path_parent(canonical);
    struct tree_node *node = tree_exact(tree, canonical);
    int failed = tree_make_dirs(tree, parent, err);
    if (!failed && node && node->kind == TREE_DIR)
        failed = err_set(err, EISDIR, "%s: is a folder in the image, not a file", path);
    if (failed || node)
        free(canonical);
    if (failed)
        return failed;
    if (!node)
        node = tree_insert(tree, canonical, kind);
    free(node->source);
    buf_free(&node->data);
    node->source = NULL;
    node->kind = kind;
    node->scratch = false;
    node->uid = node->gid = 0;
    node->mtime = (struct timespec){.tv_sec = TREE_EPOCH};
    *out = node;
    return 0;
}

int tree_add_link(struct tree *tree, const char *path, const char *target, struct err *err)
{
    const struct tree_node *old = tree_find(tree, path);
    struct tree_node *node;

    if (old && old->kind == TREE_LINK && strcmp(old->source, target) == 0)
        return 0;
    int failed = tree_place(tree, path, TREE_LINK, &node, err);
    if (failed)
        return failed;
    node->source = str_dup(target);
    node->mode = 0777;
    return 0;
}

int tree_add_data(struct tree *tree, const char *path, const void *bytes, size_t len, mode_t mode,
                  struct err *err)
{
    struct tree_node *node;
    int failed = tree_place(tree, path, TREE_DATA, &node, err);

    if (failed)
        return failed;
    buf_add(&node->data, bytes, len);
    node->mode = mode & 07777;
    return 0;
}

/* What the servers' own users have is theirs in the guest, too; people's files are root's. */
static void tree_keep_owner(struct tree_node *node, const struct stat *st)
{
    node->uid = st->st_uid <= TREE_SYSTEM_ID_MAX ? st->st_uid : 0;
    node->gid = st->st_gid <= TREE_SYSTEM_ID_MAX ? st->st_gid : 0;
}

static int tree_add_host_dir(struct tree *tree, const char *path, const struct stat *st,
                             struct err *err)
{
    int failed = tree_add_dir(tree, path, st->st_mode, err);

    if (!failed)
        tree_keep_owner(tree_follow(tree, path), st);
    return failed;
}

int tree_add_file(struct tree *tree, const char *path, const char *host, struct err *err)
{
    struct tree_node *node;
    struct stat st;

    if (stat(host, &st) < 0)
        return err_errno(err, errno, "%s", host);
    if (!S_ISREG(st.st_mode))
        return err_set(err, EINVAL, "%s: not a regular file", host);
    int failed = tree_place(tree, path, TREE_FILE, &node, err);
    if (failed)
        return failed;
    node->source = str_dup(host);
    node->mode = st.st_mode & 07777;
    tree_keep_owner(node, &st);
    if (!tree_built(tree, host)) /* when it was built is nothing that two builds agree on */
        node->mtime = st.st_mtim;
    tree_depend(tree, host);
    return 0;
}

/* One step of tree_add_host(): adds @here, of which nothing above is a link any more.
 * A link's target, with what is left of the path, is put in *@next. */
static int tree_add_step(struct tree *tree, const char *here, const char *rest, char **next,
                         struct err *err)
{
    char target[PATH_MAX];
    struct stat st;

    if (lstat(here, &st) < 0)
        return err_errno(err, errno, "%s", here);
    if (S_ISREG(st.st_mode) && !*rest)
        return tree_add_file(tree, here, here, err);
    if (S_ISDIR(st.st_mode))
        return tree_add_host_dir(tree, here, &st, err);
    if (!S_ISLNK(st.st_mode))
        return err_set(err, EINVAL, "%s: not a regular file", here);
    const struct tree_node *node = tree_find(tree, here);
    if (node && node->kind == TREE_DIR && fs_is_dir(here))
        return 0;
    ssize_t len = readlink(here, target, sizeof(target) - 1);
    if (len < 0)
        return err_errno(err, errno, "%s", here);
    target[len] = 0;
    tree_depend(tree, here);
    char *parent CLEANUP(mem_free) = path_parent(here);
    char *full CLEANUP(mem_free) = str_printf("%s/%s", target, rest);
    *next = path_clean(parent, full);
    return tree_add_link(tree, here, target, err);
}

static int tree_add_host_path(struct tree *tree, const char *path, int links, struct err *err)
{
    char *clean CLEANUP(mem_free) = path_clean("/", path);

    for (char *slash = clean; slash;) {
        char *next CLEANUP(mem_free) = NULL;
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = 0;
        int failed = tree_add_step(tree, clean, slash ? slash + 1 : "", &next, err);
        if (failed)
            return failed;
        if (next && links == TREE_LINKS_MAX)
            return err_errno(err, ELOOP, "%s", path);
        if (next)
            return tree_add_host_path(tree, next, links + 1, err);
        if (slash)
            *slash = '/';
    }
    return 0;
}

int tree_add_host(struct tree *tree, const char *path, struct err *err)
{
    if (tree_built(tree, path)) {
        char *guest CLEANUP(mem_free) = tree_guest_path(tree, path);
        return tree_add_file(tree, guest, path, err);
    }
    return tree_add_host_path(tree, path, 0, err);
}

/* A walk over a host folder. */
struct tree_walk {
    struct tree *tree;
    const char *root;        /* host folder that the walk began in */
    const char *const *skip; /* or NULL */
    bool in_place;           /* guest and host path are the same */
    int depth;
};

static bool tree_skips(const struct tree_walk *walk, const char *host)
{
    const char *name = fs_name(host);
    bool below = str_starts(host, walk->root);
    const char *relative = below ? host + strlen(walk->root) : host;

    relative += *relative == '/';
    for (size_t i = 0; walk->skip && walk->skip[i]; i++)
        if (fnmatch(walk->skip[i], strchr(walk->skip[i], '/') ? relative : name, 0) == 0)
            return true;
    return false;
}

static int tree_walk_dir(struct tree_walk *walk, const char *guest, const char *host,
                         struct err *err);

/* A link of a folder that keeps its path: what it points to comes along, wherever that is. */
static int tree_walk_beyond(struct tree_walk *walk, const char *link, struct err *err)
{
    char *real CLEANUP(mem_free) = fs_real(link, err);

    if (!real)
        return -err->code;
    bool known = tree_find(walk->tree, real); /* each folder is walked once, so loops end */
    int failed = tree_add_host(walk->tree, link, err);
    if (failed || known || !fs_is_dir(real))
        return failed;
    return tree_walk_dir(walk, real, real, err);
}

static int tree_walk_link(struct tree_walk *walk, const char *guest, const char *host,
                          struct err *err)
{
    char target[PATH_MAX];

    if (walk->in_place && fs_exists(host))
        return tree_walk_beyond(walk, host, err);
    ssize_t len = readlink(host, target, sizeof(target) - 1);
    if (len < 0)
        return err_errno(err, errno, "%s", host);
    target[len] = 0;
    tree_depend(walk->tree, host);
    return tree_add_link(walk->tree, guest, target, err);
}

static int tree_walk_entry(struct tree_walk *walk, const char *guest, const char *host,
                           struct err *err)
{
    struct stat st;

    if (tree_skips(walk, host))
        return 0;
    if (lstat(host, &st) < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s", host);
    if (S_ISLNK(st.st_mode))
        return tree_walk_link(walk, guest, host, err);
    if (S_ISREG(st.st_mode))
        return tree_add_file(walk->tree, guest, host, err);
    return S_ISDIR(st.st_mode) ? tree_walk_dir(walk, guest, host, err) : 0;
}

static int names_visible(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int tree_walk_dir(struct tree_walk *walk, const char *guest, const char *host,
                         struct err *err)
{
    struct dirent **names = NULL;
    struct stat st;

    if (walk->depth == TREE_DEPTH_MAX)
        return err_set(err, ELOOP, "%s: more than %d folders deep", host, TREE_DEPTH_MAX);
    int count = stat(host, &st) < 0 ? -1 : scandir(host, &names, names_visible, alphasort);
    if (count < 0)
        return err_errno(err, errno, "%s", host);
    tree_depend(walk->tree, host);
    walk->depth++;
    int failed = tree_add_host_dir(walk->tree, guest, &st, err);
    for (int i = 0; i < count; i++) {
        char *child CLEANUP(mem_free) = fs_join(host, names[i]->d_name);
        char *there CLEANUP(mem_free) = fs_join(guest, names[i]->d_name);
        if (!failed)
            failed = tree_walk_entry(walk, there, child, err);
        free(names[i]);
    }
    free(names);
    walk->depth--;
    return failed;
}

int tree_add_tree(struct tree *tree, const char *guest, const char *host, const char *const *skip,
                  struct err *err)
{
    struct tree_walk walk = {
        .tree = tree, .root = host, .skip = skip, .in_place = strcmp(guest, host) == 0};

    return tree_walk_dir(&walk, guest, host, err);
}

void tree_links(const struct tree *tree, struct strs *out)
{
    strs_add_all(out, &tree->below);
    for (size_t i = 0; i < tree->len; i++) {
        const struct tree_node *node = tree->nodes[i];
        if (node->kind != TREE_LINK)
            continue;
        const struct tree_node *target = tree_follow(tree, node->path);
        char *link CLEANUP(mem_free) = str_printf("%s=%s", node->path, node->source);
        if (target && target->kind == TREE_DIR && !strs_has(out, link))
            strs_add(out, link);
    }
}

/* Byte order with '/' before everything else: a folder, all in it, then its next sibling. */
static int tree_compare(const void *left, const void *right)
{
    const char *a = (*(struct tree_node *const *)left)->path;
    const char *b = (*(struct tree_node *const *)right)->path;

    while (*a && *a == *b)
        a++, b++;
    int x = *a == '/' ? 1 : (u8)*a, y = *b == '/' ? 1 : (u8)*b;
    return x - y;
}

void tree_sort(struct tree *tree)
{
    qsort(tree->nodes, tree->len, sizeof(*tree->nodes), tree_compare);
    if (tree->len)
        tree_rehash(tree, tree->nr_buckets);
}
