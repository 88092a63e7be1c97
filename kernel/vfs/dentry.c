/* The name cache: one hash table over (directory, name), grown as it fills, and two lists in order
 * of age for the shrinker (a clock: a second chance for what was used since it last passed).  Names
 * that are not there have a list and a bound of their own, so that no stream of misses fills
 * memory, and so that a removed directory finds the few that still hang on it. */
#include "vfs/dentry.h"

#include "core/panic.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "vfs/inode.h"

enum { FIRST_BUCKETS = 256 };

struct name_lock_slot name_locks[MAX_CPUS] __attribute__((aligned(64)));
u64 names_generation = 1;

/* [N] under the name lock. */
static struct dentry *first_buckets[FIRST_BUCKETS];
struct dentry **name_buckets = first_buckets;
u32 name_bucket_mask = FIRST_BUCKETS - 1;

/* Hashed dentries in order of age. [N] */
struct ages {
    struct list_head list;
    u64 nr;
    u64 most; /* [I] from here on old unused ones go */
};
static struct ages present = {LIST_INIT(present.list), 0, 2048};
static struct ages absent = {LIST_INIT(absent.list), 0, 512};

void names_write_lock(void)
{
    for (u32 i = 0; i < cpu_count; i++)
        spin_lock(&name_locks[i].lock);
    names_generation++;
}

void names_write_unlock(void)
{
    for (u32 i = cpu_count; i-- > 0;)
        spin_unlock(&name_locks[i].lock);
}

static inline u64 low_bytes(u64 word, u32 bytes)
{
    return bytes ? word & ~0ull >> (64 - 8 * bytes) : 0;
}

u32 name_hash(const char *name, size_t len)
{
    u64 h = 0;

    for (; len >= 8; len -= 8, name += 8)
        h = name_mix(h, name_word(name));
    return (u32)name_mix(h, len ? low_bytes(name_word(name), (u32)len) : 0);
}

struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len, u32 hash)
{
    u32 rest = (u32)len % 8;
    u64 tail = rest ? low_bytes(name_word(name + (len - rest)), rest) : 0;

    return dentry_find_scanned(parent, name, (u32)len, hash, tail);
}

/* Name lock held for writing. */
static void hash_insert(struct dentry *dentry)
{
    struct dentry **bucket = &name_buckets[name_bucket_of(dentry->parent, dentry->hash)];

    dentry->hash_next = *bucket;
    *bucket = dentry;
    dentry->flags |= DENTRY_HASHED;
}

static void hash_remove(struct dentry *dentry)
{
    struct dentry **link = &name_buckets[name_bucket_of(dentry->parent, dentry->hash)];

    while (*link != dentry)
        link = &(*link)->hash_next;
    *link = dentry->hash_next;
    dentry->flags &= (u8)~DENTRY_HASHED;
}

static struct ages *ages_of(const struct dentry *dentry)
{
    return dentry->inode ? &present : &absent;
}

/* Into the list its kind asks for, as the youngest; name lock held for writing. */
static void age_insert(struct dentry *dentry)
{
    struct ages *ages = ages_of(dentry);

    list_add_tail(&ages->list, &dentry->all);
    ages->nr++;
}

static void age_remove(struct dentry *dentry)
{
    if (list_empty(&dentry->all))
        return;
    list_remove(&dentry->all);
    ages_of(dentry)->nr--;
}

/* Hashed no more; name lock held for writing. */
static void forget(struct dentry *dentry)
{
    hash_remove(dentry);
    age_remove(dentry);
}

struct dentry *dentry_create(struct dentry *parent, const char *name, size_t len,
                             struct inode *inode)
{
    struct dentry *dentry = kzalloc(sizeof(*dentry));
    if (!dentry)
        return NULL;
    dentry->name = dentry->short_name;
    if (len >= DENTRY_INLINE_NAME) {
        dentry->name = kzalloc(ALIGN_UP(len + 1, 8));
        if (!dentry->name) {
            kfree(dentry);
            return NULL;
        }
    }
    memcpy(dentry->name, name, len);
    dentry->name_len = (u16)len;
    dentry->hash = name_hash(dentry->name, len);
    dentry->inode = inode;
    ref_init(&dentry->refs);
    list_init(&dentry->all);
    dentry->parent = parent;
    if (parent)
        dentry_get(parent);
    else
        dentry->parent = dentry;
    return dentry;
}

struct dentry *dentry_create_root(struct inode *inode)
{
    return dentry_create(NULL, "/", 1, inode);
}

static void dentry_free(struct dentry *dentry)
{
    inode_put(dentry->inode);
    if (dentry->name != dentry->short_name)
        kfree(dentry->name);
    kfree(dentry);
}

/* Was it the last reference, to one that nobody finds any more? */
static inline bool put_and_look(struct dentry *dentry)
{
    if (ref_put_unless_last(&dentry->refs))
        return false;
    /* The lock keeps the shrinker away between the last put and the look at the flags. */
    names_read_lock();
    bool gone = ref_put(&dentry->refs) && !(dentry->flags & DENTRY_HASHED);
    names_read_unlock();
    return gone;
}

static __attribute__((noinline)) void free_with_parents(struct dentry *dentry)
{
    do {
        struct dentry *parent = dentry->parent;
        if (parent == dentry)
            parent = NULL;
        dentry_free(dentry);
        dentry = parent;
    } while (dentry && put_and_look(dentry));
}

void dentry_put(struct dentry *dentry)
{
    if (likely(dentry) && unlikely(put_and_look(dentry)))
        free_with_parents(dentry);
}

/* Free dentries that were forgotten, linked by .hash_next. */
static void free_chain(struct dentry *gone)
{
    while (gone) {
        struct dentry *next = gone->hash_next, *parent = gone->parent;
        dentry_free(gone);
        dentry_put(parent);
        gone = next;
    }
}

/* Free up to @want of those that nobody uses, the old ones first. */
static u64 shrink(struct ages *ages, u64 want)
{
    struct dentry *gone = NULL;
    u64 freed = 0;

    names_write_lock();
    for (u64 left = ages->nr; left && freed < want; left--) {
        struct dentry *d = list_first(&ages->list, struct dentry, all);
        if (ref_count(&d->refs) || d->flags & DENTRY_REFERENCED) {
            d->flags &= (u8)~DENTRY_REFERENCED;
            list_remove(&d->all);
            list_add_tail(&ages->list, &d->all);
            continue;
        }
        forget(d);
        d->hash_next = gone;
        gone = d;
        freed++;
    }
    names_write_unlock();
    free_chain(gone);
    return freed;
}

/* Twice as many name_buckets, where there is memory for them. */
static void grow_table(void)
{
    u32 old_nr = name_bucket_mask + 1, nr = old_nr * 2;
    struct dentry **table = kcalloc(nr, sizeof(*table));

    if (!table)
        return;
    names_write_lock();
    struct dentry **old = name_buckets;
    if (name_bucket_mask + 1 != old_nr) { /* somebody else has grown it */
        names_write_unlock();
        kfree(table);
        return;
    }
    name_buckets = table;
    name_bucket_mask = nr - 1;
    for (u32 i = 0; i < old_nr; i++) {
        for (struct dentry *next, *d = old[i]; d; d = next) {
            next = d->hash_next;
            hash_insert(d);
        }
    }
    names_write_unlock();
    if (old != first_buckets)
        kfree(old);
}

void dentry_add(struct dentry *dentry)
{
    struct ages *ages = ages_of(dentry);

    names_write_lock();
    hash_insert(dentry);
    age_insert(dentry);
    bool full = present.nr + absent.nr > 2 * (u64)name_bucket_mask;
    bool many = ages->nr > ages->most;
    names_write_unlock();
    if (unlikely(many))
        shrink(ages, ages->most / 8);
    else if (unlikely(full))
        grow_table();
}

void dentry_instantiate(struct dentry *dentry, struct inode *inode)
{
    names_write_lock();
    assert(!dentry->inode);
    bool hashed = !list_empty(&dentry->all);
    age_remove(dentry);
    dentry->inode = inode;
    if (hashed)
        age_insert(dentry);
    names_write_unlock();
}

/* Names that are not in @dir, which is removed, and are remembered; name lock held for writing.
 * Returns those that nobody uses; the others go with their last users. */
static struct dentry *forget_absent(struct dentry *dir)
{
    struct dentry *dentry, *next, *gone = NULL;

    list_for_each_safe(dentry, next, &absent.list, all)
    {
        if (dentry->parent != dir)
            continue;
        forget(dentry);
        if (ref_count(&dentry->refs))
            continue;
        dentry->hash_next = gone;
        gone = dentry;
    }
    return gone;
}

void dentry_delete(struct dentry *dentry)
{
    struct dentry *gone = NULL;
    struct inode *inode = NULL;

    names_write_lock();
    if (!(dentry->flags & DENTRY_HASHED)) {
        names_write_unlock();
        return;
    }
    if (ref_count(&dentry->refs) == 1) {
        age_remove(dentry);
        inode = dentry->inode;
        dentry->inode = NULL;
        age_insert(dentry);
    } else {
        forget(dentry);
        gone = forget_absent(dentry);
    }
    names_write_unlock();
    inode_put(inode);
    free_chain(gone);
}

static void swap_names(struct dentry *a, struct dentry *b)
{
    char text[DENTRY_INLINE_NAME];
    char *a_name = a->name == a->short_name ? b->short_name : a->name;
    char *b_name = b->name == b->short_name ? a->short_name : b->name;
    u16 len = a->name_len;

    memcpy(text, a->short_name, sizeof(text));
    memcpy(a->short_name, b->short_name, sizeof(text));
    memcpy(b->short_name, text, sizeof(text));
    a->name = b_name;
    b->name = a_name;
    a->name_len = b->name_len;
    b->name_len = len;
}

/* @to takes @from's name; a long one changes hands, as nothing can be allocated here. */
static void take_name(struct dentry *to, struct dentry *from)
{
    if (from->name != from->short_name || to->name != to->short_name) {
        swap_names(to, from);
        return;
    }
    memcpy(to->short_name, from->short_name, sizeof(to->short_name));
    to->name_len = from->name_len;
}

void dentry_move(struct dentry *dentry, struct dentry *target, bool exchange)
{
    struct dentry *old_parent = dentry->parent;
    struct dentry *replaced = NULL, *gone = NULL;
    u32 hash = dentry->hash;

    names_write_lock();
    if (dentry->flags & DENTRY_HASHED)
        hash_remove(dentry);
    if (target->flags & DENTRY_HASHED)
        hash_remove(target);
    dentry->hash = target->hash;
    dentry->parent = target->parent;
    if (exchange) {
        swap_names(dentry, target);
        target->hash = hash;
        target->parent = old_parent;
        hash_insert(target);
    } else {
        take_name(dentry, target);
        dentry_get(dentry->parent);
        replaced = old_parent;
        age_remove(target);
        if (target->inode && S_ISDIR(target->inode->mode))
            gone = forget_absent(target);
    }
    hash_insert(dentry);
    names_write_unlock();
    free_chain(gone);
    dentry_put(replaced);
}

u64 dentry_shrink(u64 want)
{
    u64 freed = shrink(&absent, want);

    return freed + (freed < want ? shrink(&present, want - freed) : 0);
}

bool dentry_is_below(const struct dentry *dentry, const struct dentry *ancestor)
{
    while (dentry != ancestor && dentry->parent != dentry)
        dentry = dentry->parent;
    return dentry == ancestor;
}

/* Names in pages: a dentry and its inode are roughly half a kibibyte. */
static u64 shrink_names(u64 want)
{
    return dentry_shrink(want * 8) / 8;
}

void dentry_init(void)
{
    static struct shrinker shrinker = {.shrink = shrink_names};
    u64 total = page_total();

    present.most = max(total / 2, (u64)2048);
    absent.most = min(max(total / 32, (u64)128), (u64)8192);
    page_register_shrinker(&shrinker);
}
