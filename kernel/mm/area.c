/* The areas of an address space, in a red-black tree by address.  Each area knows the free space
 * before it, and the greatest such space in its subtree, so that a free place is found in one
 * descent. */
#include "mm/mm_priv.h"

#include "abi/errno.h"
#include "mm/heap.h"

static struct vma *of_node(struct rb_node *node)
{
    return node ? container_of(node, struct vma, node) : NULL;
}

static u64 max_gap_of(struct rb_node *node)
{
    return node ? container_of(node, struct vma, node)->max_gap : 0;
}

static inline bool update_gap(struct rb_node *node)
{
    struct vma *vma = of_node(node);
    u64 below = max(max_gap_of(node->left), max_gap_of(node->right));
    u64 gap = max(vma->gap, below);
    bool changed = gap != vma->max_gap;

    vma->max_gap = gap;
    return changed;
}

void area_init(struct mm *mm)
{
    mm->areas = (struct rb_root){.update = update_gap};
    mm->last_end = USER_BASE;
}

struct vma *area_next(const struct vma *vma)
{
    return of_node(rb_next(&vma->node));
}

struct vma *area_prev(const struct vma *vma)
{
    return of_node(rb_prev(&vma->node));
}

struct vma *area_find(struct mm *mm, u64 addr)
{
    struct vma *found = __atomic_load_n(&mm->hint, __ATOMIC_RELAXED);

    if (found && found->start <= addr && addr < found->end)
        return found;
    found = NULL;
    for (struct rb_node *node = mm->areas.node; node;) {
        struct vma *vma = of_node(node);
        if (vma->end > addr) {
            found = vma;
            if (vma->start <= addr)
                break;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    if (found)
        __atomic_store_n(&mm->hint, found, __ATOMIC_RELAXED);
    return found;
}

bool area_is_free(struct mm *mm, u64 start, u64 end)
{
    const struct vma *vma = area_find(mm, start);

    return !vma || vma->start >= end;
}

static void set_gap(struct vma *vma, u64 gap)
{
    if (gap == vma->gap)
        return;
    vma->gap = gap;
    for (struct rb_node *node = &vma->node; node && update_gap(node);) /* rb_propagate(), in line */
        node = node->parent;
}

/* The free space before @vma, after its border or that of its neighbour moved. */
static void refresh_gap(struct vma *vma)
{
    const struct vma *prev = area_prev(vma);

    set_gap(vma, vma->start - (prev ? prev->end : min(USER_BASE, vma->start)));
}

static void refresh_after(struct mm *mm, struct vma *vma)
{
    struct vma *next = area_next(vma);

    if (next)
        refresh_gap(next);
    else
        mm->last_end = vma->end;
}

static void area_insert(struct mm *mm, struct vma *vma)
{
    struct rb_node **link = &mm->areas.node, *parent = NULL;
    struct vma *next = NULL;
    u64 before = min(USER_BASE, vma->start);

    while (*link) {
        struct vma *other = of_node(*link);
        parent = *link;
        if (vma->start < other->start) {
            next = other;
            link = &parent->left;
        } else {
            before = other->end;
            link = &parent->right;
        }
    }
    vma->gap = vma->start - before;
    rb_insert(&mm->areas, &vma->node, parent, link);
    if (next)
        set_gap(next, next->start - vma->end);
    else
        mm->last_end = vma->end;
    mm->virtual_pages += (vma->end - vma->start) >> PAGE_SHIFT;
    mm->nr_areas++;
}

struct vma *area_create(struct mm *mm, const struct vma *template)
{
    if (mm->nr_areas >= MAX_AREAS)
        return NULL;
    struct vma *vma = kmalloc(sizeof(*vma));
    if (!vma)
        return NULL;
    *vma = *template;
    vma->mm = mm;
    if (vma->backing)
        vma->backing->ops->get(vma->backing);
    if (area_is_shared(vma))
        __atomic_store_n(&mm->shares, true, __ATOMIC_RELAXED);
    mm->tells |= vma->backing && vma->backing->ops->dirty && area_is_shared(vma);
    area_insert(mm, vma);
    return vma;
}

void area_destroy(struct mm *mm, struct vma *vma)
{
    struct vma *next = area_next(vma);
    u64 before = vma->start - vma->gap;

    if (next) /* first, because the greater gap hides that the other one goes */
        set_gap(next, next->start - before);
    else
        mm->last_end = before;
    rb_remove(&mm->areas, &vma->node);
    if (mm->hint == vma)
        mm->hint = next;
    mm->virtual_pages -= (vma->end - vma->start) >> PAGE_SHIFT;
    mm->nr_areas--;
    if (vma->backing)
        vma->backing->ops->put(vma->backing);
    kfree(vma);
}

void area_destroy_all(struct mm *mm)
{
    struct rb_node *node = mm->areas.node;

    while (node) { /* leaves first */
        struct rb_node *below = node->left ? node->left : node->right, *up = node->parent;
        if (below) {
            node = below;
            continue;
        }
        struct vma *vma = of_node(node);
        if (up && up->left == node)
            up->left = NULL;
        else if (up)
            up->right = NULL;
        if (vma->backing)
            vma->backing->ops->put(vma->backing);
        kfree(vma);
        node = up;
    }
    mm->areas.node = NULL;
    mm->hint = NULL;
}

static struct vma *copy_area(struct mm *to, const struct vma *from, struct rb_node *parent)
{
    struct vma *vma = kmalloc(sizeof(*vma));

    if (!vma)
        return NULL;
    *vma = *from;
    vma->mm = to;
    vma->lowest = NO_PAGE;
    vma->copied = false;
    vma->node.parent = parent;
    vma->node.left = vma->node.right = NULL;
    if (vma->backing)
        vma->backing->ops->get(vma->backing);
    return vma;
}

int area_copy_all(struct mm *to, struct mm *from,
                  int (*fn)(struct vma *vma, struct vma *copy, void *arg), void *arg)
{
    struct rb_node *node = from->areas.node, *parent = NULL, **link = &to->areas.node;

    to->last_end = from->last_end;
    to->virtual_pages = from->virtual_pages;
    to->nr_areas = from->nr_areas;
    while (node) { /* the same shape, nodes before what is below them */
        struct vma *vma = copy_area(to, of_node(node), parent);
        if (!vma)
            return -ENOMEM;
        *link = parent = &vma->node;
        int err = fn(of_node(node), vma, arg);
        if (err)
            return err;
        if (node->left) {
            node = node->left;
            link = &parent->left;
            continue;
        }
        while (node && (!node->right || parent->right)) { /* done with it and all below */
            node = node->parent;
            parent = parent->parent;
        }
        if (node) {
            node = node->right;
            link = &parent->right;
        }
    }
    return 0;
}

void area_resize(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    u64 old_start = vma->start, old_end = vma->end;

    mm->virtual_pages += ((end - start) >> PAGE_SHIFT) - ((old_end - old_start) >> PAGE_SHIFT);
    if (vma->backing)
        vma->offset += start - old_start;
    vma->start = start;
    vma->end = end;
    if (start != old_start)
        refresh_gap(vma);
    if (end != old_end)
        refresh_after(mm, vma);
}

int area_split(struct mm *mm, struct vma *vma, u64 addr)
{
    struct vma upper = *vma;
    u64 end = vma->end;

    assert(vma->start < addr && addr < end);
    if (area_is_touched(vma))
        huge_break(mm, vma, addr); /* afterwards it would be inside of neither */
    upper.start = addr;
    if (vma->backing)
        upper.offset += addr - vma->start;
    area_resize(mm, vma, vma->start, addr);
    if (area_create(mm, &upper))
        return 0;
    area_resize(mm, vma, vma->start, end);
    return -ENOMEM;
}

int area_split_range(struct mm *mm, u64 start, u64 end)
{
    struct vma *vma = area_find(mm, start);

    if (vma && vma->start < start) {
        int err = area_split(mm, vma, start);
        if (err)
            return err;
    }
    vma = area_find(mm, end);
    return vma && vma->start < end ? area_split(mm, vma, end) : 0;
}

/* True if @upper goes on where @lower ends, in memory and in the backing. */
static bool continues(const struct vma *lower, const struct vma *upper)
{
    return lower->end == upper->start && lower->prot == upper->prot &&
           lower->flags == upper->flags && lower->marks == upper->marks &&
           lower->backing == upper->backing && lower->name == upper->name &&
           (!lower->backing || lower->offset + (lower->end - lower->start) == upper->offset);
}

static struct vma *merge_pair(struct mm *mm, struct vma *lower, struct vma *upper)
{
    u64 end = upper->end;

    area_note_page(lower, upper->lowest);
    lower->copied |= upper->copied;
    area_destroy(mm, upper);
    area_resize(mm, lower, lower->start, end);
    return lower;
}

struct vma *area_merge(struct mm *mm, struct vma *vma)
{
    struct vma *prev = area_prev(vma), *next = area_next(vma);

    if (next && continues(vma, next))
        merge_pair(mm, vma, next);
    if (prev && continues(prev, vma))
        vma = merge_pair(mm, prev, vma);
    return vma;
}

void area_merge_range(struct mm *mm, u64 start, u64 end)
{
    struct vma *vma = area_find(mm, start ? start - 1 : 0);

    while (vma && vma->start <= end)
        vma = area_next(area_merge(mm, vma));
}

struct vma *area_extend(struct mm *mm, const struct vma *template)
{
    struct vma *next = area_find(mm, template->end);
    struct vma *prev = next ? area_prev(next) : of_node(rb_last(&mm->areas));

    if (prev && continues(prev, template)) {
        area_note_page(prev, template->lowest);
        area_resize(mm, prev, prev->start, template->end);
        return next && continues(prev, next) ? merge_pair(mm, prev, next) : prev;
    }
    if (next && continues(template, next)) {
        area_note_page(next, template->lowest);
        area_resize(mm, next, template->start, next->end);
        return next;
    }
    return NULL;
}

/* A free place that is looked for. */
struct wanted {
    u64 len, align, low, high; /* inside of [low, high) */
};

/* The highest place in [from, to); 0: none. */
static u64 place_in(u64 from, u64 to, const struct wanted *want)
{
    from = max(from, want->low);
    to = min(to, want->high);
    if (to < from || to - from < want->len)
        return 0;
    u64 place = ALIGN_DOWN(to - want->len, want->align);
    return place >= from ? place : 0;
}

/* A stack keeps a guard below itself, into which nothing is placed. */
static u64 ceiling_of(const struct vma *vma)
{
    u64 guard = vma->flags & MAP_GROWSDOWN ? STACK_GUARD : 0;

    return vma->start - min(guard, vma->start);
}

/* The highest place before an area of this subtree, which has a gap as wide.  Depth is that of the
 * tree; a subtree is entered only where its gaps are wide enough, so in vain only along the borders
 * of [low, high). */
static u64 find_gap_below(struct rb_node *node, const struct wanted *want)
{
    const struct vma *vma = of_node(node);
    u64 place = 0;

    if (vma->end < want->high && max_gap_of(node->right) >= want->len)
        place = find_gap_below(node->right, want);
    if (!place && vma->gap >= want->len)
        place = place_in(vma->start - vma->gap, ceiling_of(vma), want);
    if (!place && vma->start - vma->gap > want->low && max_gap_of(node->left) >= want->len)
        place = find_gap_below(node->left, want);
    return place;
}

u64 area_find_gap(const struct mm *mm, u64 len, u64 align, u64 low, u64 high)
{
    const struct wanted want = {len, align, low, high};
    u64 place = place_in(mm->last_end, USER_TOP, &want);

    if (place || max_gap_of(mm->areas.node) < len)
        return place;
    return find_gap_below(mm->areas.node, &want);
}
