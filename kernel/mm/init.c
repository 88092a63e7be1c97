/* Memory's start: pages, heap, and what later CPUs need of both. */
#include "core/init.h"

#include "abi/errno.h"
#include "core/panic.h"
#include "core/percpu.h"
#include "mm/heap.h"
#include "mm/mm_priv.h"
#include "mm/page_priv.h"

static struct page_cpu boot_page_cpu;

static u64 table_alloc(void)
{
    struct page *page = page_alloc(0, PAGE_ZERO);

    if (!page)
        return 0;
    page_account(offsetof(struct page_stats, page_tables), 1);
    return page_to_phys(page);
}

static void table_release(u64 pa, bool clean)
{
    struct page *page = page_of_phys(pa);

    if (!page) /* one of the boot tables */
        return;
    page_account(offsetof(struct page_stats, page_tables), -1);
    if (clean)
        page_put_clean(page);
    else
        page_put(page);
}

int mm_cpu_create(struct cpu *cpu)
{
    cpu->pages = kzalloc(sizeof(*cpu->pages));
    cpu->heap = kzalloc(heap_cpu_size());
    if (cpu->pages && cpu->heap)
        return 0;
    mm_cpu_destroy(cpu);
    return -ENOMEM;
}

void mm_cpu_destroy(struct cpu *cpu)
{
    kfree(cpu->pages);
    kfree(cpu->heap);
}

void mm_init(void)
{
    plat_set_page_source(table_alloc, table_release);
    page_init_cpu(&boot_page_cpu);
    if (page_init(boot_info.regions, boot_info.nr_regions, boot_info.before_array))
        fatal_error("out of memory: %llu KiB are too little to start",
                    (unsigned long long)boot_info.ram_bytes >> 10);
    heap_init();
    kstack_init();
    plat.rest = ground_rest;
}
