#include "image/patch/add.h"

#include "image/elf_file.h"
#include "image/erofs_read.h"
#include "image/patch/names.h"
#include "image/patch/patch.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/own.h"
#include "lib/patch.h"
#include "lib/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

char *patch_program(void)
{
    char *path = own_path("ingot-patch");

    return path ? path : str_dup("ingot-patch");
}

/* Most files of an image are none: look at four bytes before mapping one. */
static bool add_is_elf(const char *path)
{
    char magic[4];
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    return fd >= 0 && read(fd, magic, sizeof(magic)) == sizeof(magic) &&
           memcmp(magic, "\177ELF", sizeof(magic)) == 0;
}

/* Two files of one name that are not the same: neither may get the other's patch. */
static int add_or_void(struct tree *tree, const char *path, const struct buf *patch,
                       struct err *err)
{
    const struct tree_node *there = tree_find(tree, path);
    struct patch_header *new = (struct patch_header *)(void *)patch->data;

    if (!there)
        return tree_add_data(tree, path, patch->data, patch->len, 0644, err);
    if (there->kind == TREE_DATA && there->data.len == patch->len) { /* one file, two names */
        memcpy(new->name, there->data.data + offsetof(struct patch_header, name),
               sizeof(new->name));
        if (memcmp(there->data.data, patch->data, patch->len) == 0)
            return 0;
    }
    return tree_add_data(tree, path, "", 0, 0644, err);
}

/* By a program of its own, which may be missing or lack its disassembler: *@why says so then. */
static int make_patch(const char *guest, const char *host, struct buf *patch, char **why,
                      struct err *err)
{
    struct buf words CLEANUP(buf_free) = {0};
    char *program CLEANUP(mem_free) = patch_program();
    const char *const argv[] = {program, guest, host, NULL};
    int status = proc_run(&(struct proc){.argv = argv, .out = patch, .errors = &words}, err);

    if (status == -ENOENT)
        *why = str_dup("ingot-patch is not beside this program");
    else if (status < 0 || status > 2)
        return status < 0 ? status
                          : err_set(err, EIO, "%s: ingot-patch failed: %s", host, buf_text(&words));
    else if (status == 2)
        *why = str_printf("%.*s", (int)strcspn(buf_text(&words), "\n"), buf_text(&words));
    return status ? -ENOEXEC : 0;
}

static int add_object(struct tree *tree, const char *guest, const char *host, char **why,
                      struct err *err)
{
    struct buf patch CLEANUP(buf_free) = {0};
    struct patch_header header;
    struct patch_id id = {0};
    char name[PATCH_NAME_SIZE];

    int failed = make_patch(guest, host, &patch, why, err);
    if (failed && failed != -ENOEXEC)
        return failed;
    if (failed || !patch_check(patch.data, patch.len, &header))
        return 0; /* it runs as it is */
    id.len = header.id_len;
    memcpy(id.bytes, header.id, sizeof(id.bytes));
    patch_id_name(&id, name);
    char *path CLEANUP(mem_free) = str_printf(PATCH_PATH "/%s", name);
    return add_or_void(tree, path, &patch, err);
}

int patch_add_all(struct tree *tree, char **why, struct err *err)
{
    int failed = 0;

    /* The tree grows while we walk it, by what needs no patch. */
    for (size_t i = 0, end = tree->len; i < end && !failed && !*why; i++) {
        const struct tree_node *node = tree->nodes[i];
        if (node->kind == TREE_FILE && add_is_elf(node->source))
            failed = add_object(tree, node->path, node->source, why, err);
    }
    return failed;
}

static void calls_join(u64 *to, const u64 *from)
{
    for (size_t i = 0; i < PATCH_CALLS / 64; i++)
        to[i] |= from[i];
}

static void calls_of_tree(const struct tree *tree, u64 *calls)
{
    struct patch_header header;

    for (size_t i = 0; i < tree->len; i++) {
        const struct tree_node *node = tree->nodes[i];
        if (node->kind == TREE_DATA && str_starts(node->path, PATCH_PATH "/") &&
            patch_check(node->data.data, node->data.len, &header))
            calls_join(calls, header.calls);
    }
}

/* False if the layer does not tell. */
static bool calls_of_layer(const char *path, u64 *calls)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    struct buf bytes CLEANUP(buf_free) = {0};
    struct call_set set;
    struct err ignored;

    if (elf_map(path, &map, &ignored) < 0 ||
        !erofs_read(&(struct erofs_view){map.data, map.len}, CALLS_PATH, &bytes) ||
        bytes.len != sizeof(set))
        return false;
    memcpy(&set, bytes.data, sizeof(set));
    if (set.magic != CALL_SET_MAGIC || set.version != CALL_SET_VERSION)
        return false;
    calls_join(calls, set.calls);
    return true;
}

static int calls_allow(const char *name, u64 *calls, struct err *err)
{
    u64 nr = PATCH_CALLS;

    if (str_to_u64(name, &nr) < 0)
        for (nr = 0; nr < PATCH_CALLS; nr++)
            if (syscall_names[nr] && strcmp(syscall_names[nr], name) == 0)
                break;
    if (nr >= PATCH_CALLS)
        return err_set(err, ERR_USAGE, "--allow: there is no system call '%s'", name);
    calls[nr / 64] |= 1ull << nr % 64;
    return 0;
}

int patch_add_calls(struct tree *tree, const struct strs *below, const struct strs *allow,
                    bool *complete, struct err *err)
{
    struct call_set set = {.magic = CALL_SET_MAGIC, .version = CALL_SET_VERSION};
    int failed = 0;

    *complete = true;
    calls_of_tree(tree, set.calls);
    for (size_t i = 0; i < below->len; i++)
        *complete &= calls_of_layer(below->at[i], set.calls);
    for (size_t i = 0; allow && i < allow->len && !failed; i++)
        failed = calls_allow(allow->at[i], set.calls, err);
    return failed ? failed : tree_add_data(tree, CALLS_PATH, &set, sizeof(set), 0644, err);
}
