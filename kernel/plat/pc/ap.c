/* Starting the other CPUs: the page they begin in, and their first steps in C. */
#include "plat/pc/ap.h"

#include "abi/errno.h"
#include "arch/cpu.h"
#include "core/init.h"
#include "lib/string.h"
#include "plat/pc/pc.h"

extern char ap_page[], ap_page_end[], ap_page_root[], ap_page_entry[], ap_entry[];
extern u64 boot_pml4[];

struct ap_slot ap_slots[AP_SLOTS];
static_assert((int)AP_SLOTS == MAX_CPUS, "one each");
static_assert(sizeof(struct ap_slot) == 16, "ap.S knows it");

static u32 apic_ids[MAX_CPUS]; /* [I] after the firmware's tables were read */
static u32 nr_apic_ids;

void pc_cpu_found(u32 apic_id)
{
    if (apic_id == cpus[0]->apic_id)
        return;
    if (nr_apic_ids < MAX_CPUS - 1)
        apic_ids[++nr_apic_ids] = apic_id;
    boot_info.nr_cpus++;
}

static void put_in_page(const char *label, const void *value, size_t len)
{
    memcpy((char *)phys_to_virt(AP_PAGE) + (label - ap_page), value, len);
}

static void prepare_page(void)
{
    u32 root = (u32)image_to_phys(boot_pml4);
    u64 entry = (uintptr_t)ap_entry;

    memcpy(boot_pml4 + 256, kernel_pml4 + 256, 256 * sizeof(u64));
    memcpy(phys_to_virt(AP_PAGE), ap_page, (size_t)(ap_page_end - ap_page));
    put_in_page(ap_page_root, &root, sizeof(root));
    put_in_page(ap_page_entry, &entry, sizeof(entry));
}

int pc_cpu_start(struct cpu *cpu)
{
    u32 id = cpu->arch.id;

    if (id > nr_apic_ids)
        return -ENODEV;
    if (id == 1) {
        prepare_page();
        pc_timer_measure();
    }
    cpu->apic_id = apic_ids[id];
    ap_slots[id].apic_id = cpu->apic_id;
    __atomic_store_n(&ap_slots[id].cpu, cpu, __ATOMIC_RELEASE);
    pc_apic_start_cpu(cpu->apic_id);
    return 0;
}

_Noreturn void pc_ap_main(struct cpu *cpu)
{
    __asm__ volatile("mov %0, %%cr3" ::"r"(image_to_phys(kernel_pml4)) : "memory");
    pc_cpu_setup(cpu);
    pc_apic_init_cpu(cpu);
    __asm__ volatile("sti" ::: "memory");
    cpu_main();
}
