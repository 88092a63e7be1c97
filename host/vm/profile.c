#include "vm/profile.h"

#include "image/erofs_read.h"
#include "image/patch/names.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "vm/flame.h"
#include "vm/symbols.h"
#include "vm/vmm.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STACKS = 200000, MAX_FILES = 256 };

/* A file of the guest, with its symbols if there are any. */
struct file {
    char *path; /* owned */
    struct symbols symbols;
};

struct namer {
    const struct profile *profile;
    struct file *files; /* owned */
    size_t nr_files;
};

void profile_init(struct profile *profile, const struct vm_layer *layers, size_t nr_layers)
{
    *profile = (struct profile){.layers = layers, .nr_layers = nr_layers};
}

void profile_fini(struct profile *profile)
{
    json_put(&profile->stacks);
}

void profile_add(struct profile *profile, const char *line, size_t len)
{
    char *key CLEANUP(mem_free) = str_printf("%.*s", (int)len, line);

    for (char *c = key; *c; c++)
        if (!isprint((unsigned char)*c)) /* names of a guest's making */
            *c = '?';
    if (!profile->stacks) /* a run that nobody profiles makes none */
        profile->stacks = json_object();
    json_t *count = json_object_get(profile->stacks, key);
    if (count)
        json_integer_set(count, json_integer_value(count) + 1);
    else if (json_object_size(profile->stacks) < MAX_STACKS)
        json_object_set_new(profile->stacks, key, json_integer(1));
    else
        profile->lost++;
    profile->samples++;
}

/* ---- names ---- */

/* What the guest has under @path: the topmost layer counts; else this machine's own file, from
 * which the image was made. */
static void load_symbols(const struct namer *namer, struct file *file)
{
    for (size_t i = namer->profile->nr_layers; i-- > 0;) {
        const struct vm_layer *layer = &namer->profile->layers[i];
        struct buf bytes CLEANUP(buf_free) = {0};
        if (layer->fd >= 0 || !erofs_read_layer(layer->path, file->path, &bytes))
            continue;
        symbols_take(&file->symbols, &bytes);
        return;
    }
}

static struct symbols *symbols_of(struct namer *namer, const char *path)
{
    for (size_t i = 0; i < namer->nr_files; i++)
        if (strcmp(namer->files[i].path, path) == 0)
            return &namer->files[i].symbols;
    if (namer->nr_files == MAX_FILES)
        return NULL;
    struct file *file = &namer->files[namer->nr_files++];
    file->path = str_dup(path);
    load_symbols(namer, file);
    return &file->symbols;
}

/* "[kernel] call 0": "[kernel] read". */
static bool add_call(struct buf *out, const char *place)
{
    static const char mark[] = "[kernel] call ";
    size_t nr = str_starts(place, mark) ? (size_t)atoi(place + sizeof(mark) - 1) : 512;

    if (nr >= 512 || !syscall_names[nr])
        return false;
    buf_printf(out, "[kernel] %s", syscall_names[nr]);
    return true;
}

/* "/usr/bin/redis-server+0x1234": its function, or the file where that has no name. */
static void add_name(struct namer *namer, struct buf *out, const char *place)
{
    const char *plus = strrchr(place, '+');

    if (add_call(out, place))
        return;
    if (!plus || place[0] != '/') {
        buf_add(out, place, plus ? (size_t)(plus - place) : strlen(place));
        return;
    }
    char *path CLEANUP(mem_free) = str_printf("%.*s", (int)(plus - place), place);
    const struct symbols *symbols = symbols_of(namer, path);
    const char *name =
        symbols ? symbols_name(symbols, symbols->base + strtoull(plus + 1, NULL, 16)) : NULL;
    if (name)
        buf_puts(out, name);
    else
        buf_printf(out, "[%s]", fs_name(path));
}

static char *name_stack(struct namer *namer, const char *line)
{
    struct buf out = {0};
    char *copy CLEANUP(mem_free) = str_dup(line), *rest = copy;

    buf_puts(&out, strsep(&rest, ";"));
    for (char *place; (place = strsep(&rest, ";"));) {
        buf_puts(&out, ";");
        add_name(namer, &out, place);
    }
    return buf_take(&out);
}

/* The same with names: places of one function become one. */
static json_t *name_all(const struct profile *profile)
{
    struct namer namer = {.profile = profile, .files = mem_new(MAX_FILES * sizeof(struct file))};
    json_t *named = json_object(), *count;
    const char *line;

    json_object_foreach(profile->stacks, line, count)
    {
        char *stack CLEANUP(mem_free) = name_stack(&namer, line);
        json_int_t before = json_integer_value(json_object_get(named, stack));
        json_object_set_new(named, stack, json_integer(before + json_integer_value(count)));
    }
    for (size_t i = 0; i < namer.nr_files; i++) {
        free(namer.files[i].path);
        symbols_fini(&namer.files[i].symbols);
    }
    free(namer.files);
    return named;
}

/* A place ends before all that only begins like it. */
static int compare_stacks(const void *a, const void *b)
{
    const char *left = ((const struct flame_stack *)a)->text;
    const char *right = ((const struct flame_stack *)b)->text;

    while (*left && *left == *right)
        left++, right++;
    return (*left == ';' ? 1 : (unsigned char)*left) - (*right == ';' ? 1 : (unsigned char)*right);
}

int profile_write(struct profile *profile, const char *path, struct err *err)
{
    struct buf out CLEANUP(buf_free) = {0};
    json_t *count;
    const char *text;
    size_t n = 0;

    if (!profile->samples)
        return err_set(err, EINVAL, "--profile: the program ran for too short a time to be seen");
    json_t *named CLEANUP(json_put) = name_all(profile);
    struct flame_stack *stacks CLEANUP(mem_free) =
        mem_new((json_object_size(named) + 1) * sizeof(*stacks));
    json_object_foreach(named, text, count)
    {
        stacks[n++] = (struct flame_stack){text, (u64)json_integer_value(count)};
    }
    qsort(stacks, n, sizeof(*stacks), compare_stacks);
    if (str_ends(path, ".folded"))
        for (size_t i = 0; i < n; i++)
            buf_printf(&out, "%s %llu\n", stacks[i].text, (unsigned long long)stacks[i].count);
    else
        flame_draw(&out, stacks, n);
    return fs_write(path, out.data, out.len, 0644, err);
}
