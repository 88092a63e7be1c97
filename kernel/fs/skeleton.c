/* A layer made of code: a start touches none of its files, it only has to know their names. */
#include "fs/skeleton.h"

#include "abi/errno.h"
#include "core/cmdline.h"
#include "core/hostname.h"
#include "fs/pseudo.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/config.h"
#include "net/ip.h"
#include "vfs/page_cache.h"

static const char *boot_hostname(void)
{
    const char *given = cmdline_get("ingot.hostname");

    return given && *given ? given : hostname;
}

static int show_hostname(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "%.64s\n", boot_hostname());
    return 0;
}

static int show_hosts(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out,
             "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
             "127.0.1.1\t%.64s\n",
             boot_hostname());
    return 0;
}

/* Whoever looks for name servers wants the network, so this waits until the interfaces know. */
static int show_resolv_conf(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct ip_addr servers[3];
    char text[ADDR_TEXT_MAX];

    if (netif_is_offered())
        net_init();
    (void)net_wait_configured(); /* cut short by a signal: what is known by now */
    u32 n = net_name_servers(servers);
    for (u32 i = 0; i < n; i++)
        text_add(out, "nameserver %s\n", addr_format(&servers[i], text));
    if (*net_domain())
        text_add(out, "search %s\n", net_domain());
    return 0;
}

/* When the text of a file became what it is. */
static struct linux_timespec made_at(const struct pseudo_ref *ref)
{
    u64 ns = ref->node->show == show_resolv_conf ? net_resolver_changed_ns() : 0;

    return ns_to_timespec(time_real_offset_ns() + ns);
}

/* The text of a file, which but for that of resolv.conf stays the same. */
static int make_text(const struct pseudo_ref *ref, struct text *text)
{
    *text = (struct text){0};
    if (ref->node->show)
        ref->node->show(text, ref);
    else
        text_add(text, "%s", ref->node->value);
    if (!text->failed)
        return 0;
    text_free(text);
    return -ENOMEM;
}

/* The files are shorter than a page. */
static int readpages(struct inode *inode, u64 index __attribute__((unused)), struct page **pages,
                     u32 nr __attribute__((unused)))
{
    u8 *bytes = page_to_virt(pages[0]);
    struct text text;
    int err = make_text(inode->data, &text);

    if (err)
        return err;
    size_t n = min(text.len, PAGE_SIZE);
    memcpy(bytes, text.buf, n);
    memset(bytes + n, 0, PAGE_SIZE - n);
    text_free(&text);
    return 0;
}

/* Whatever is short of memory here has no bytes.  The time first: what changes while the text is
 * made is seen the next time. */
static void take_text(const struct pseudo_ref *ref, struct inode *inode)
{
    struct text text;
    struct linux_timespec at = made_at(ref);
    bool made = !make_text(ref, &text);

    __atomic_store_n(&inode->size, made ? text.len : 0, __ATOMIC_RELEASE);
    inode->mtime = inode->ctime = at;
    if (made)
        text_free(&text);
}

/* Leases and routers tell of name servers later, too. */
static int refresh(struct inode *inode)
{
    struct linux_timespec at = made_at(inode->data);

    bool same = at.tv_sec == inode->mtime.tv_sec && at.tv_nsec == inode->mtime.tv_nsec;
    if (same || !inode->pages)
        return 0;
    (void)page_cache_remove(inode->pages, 0, UINT64_MAX);
    take_text(inode->data, inode);
    return 0;
}

static const struct inode_ops file_ops = {.readpages = readpages};
static const struct inode_ops live_file_ops = {.readpages = readpages, .getattr = refresh};

static void fill_file(const struct pseudo_ref *ref, struct inode *inode)
{
    inode->mode |= 0644;
    inode->ops = ref->node->show == show_resolv_conf ? &live_file_ops : &file_ops;
    inode->btime = ns_to_timespec(time_real_offset_ns());
    if (!inode_alloc_pages(inode, true))
        take_text(ref, inode);
}

static const struct pseudo_node etc_nodes[] = {
    {.name = "hostname", .mode = S_IFREG, .show = show_hostname, .fill = fill_file},
    {.name = "hosts", .mode = S_IFREG, .show = show_hosts, .fill = fill_file},
    {.name = "resolv.conf", .mode = S_IFREG, .show = show_resolv_conf, .fill = fill_file},
    {.name = "passwd",
     .mode = S_IFREG,
     .value = "root:x:0:0:root:/root:/bin/sh\n"
              "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
     .fill = fill_file},
    {.name = "group", .mode = S_IFREG, .value = "root:x:0:\nnogroup:x:65534:\n", .fill = fill_file},
};

static const struct pseudo_node root_nodes[] = {
    PSEUDO_EMPTY_DIR("dev", 0755),
    PSEUDO_EMPTY_DIR("proc", 0555),
    PSEUDO_EMPTY_DIR("sys", 0555),
    PSEUDO_EMPTY_DIR("tmp", 01777),
    {.name = "etc",
     .mode = S_IFDIR | 0755,
     .children = etc_nodes,
     .nr_children = ARRAY_LEN(etc_nodes)},
};

static const struct pseudo_node root_node = {
    .mode = S_IFDIR | 0755, .children = root_nodes, .nr_children = ARRAY_LEN(root_nodes)};

struct super_block *skeleton_mount(void)
{
    return pseudo_mount("skeleton", 0, &root_node);
}
