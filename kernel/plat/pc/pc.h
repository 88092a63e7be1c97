/* What the files of plat/pc share. */
#pragma once

#include "core/percpu.h"
#include "plat/plat.h"

struct pc_cpu;

/* Page-table entry bits (SDM 3A 4.5). */
enum {
    PTE_P = 1 << 0,
    PTE_W = 1 << 1,
    PTE_PWT = 1 << 3,
    PTE_PCD = 1 << 4,
    PTE_A = 1 << 5,
    PTE_D = 1 << 6,
    PTE_PS = 1 << 7,
    PTE_G = 1 << 8,
    PTE_NONE = 1 << 9,    /* ours: mapped, but any touch faults (then PTE_P is clear) */
    PTE_STATIC = 1 << 10, /* ours: PLAT_STATIC */
};
#define PTE_NX      (1ul << 63)
#define PTE_PA_MASK 0x000ffffffffff000ul

enum { VECTOR_TLB = 0xf0, VECTOR_SPURIOUS = 0xff };

/* MSRs. */
enum {
    MSR_APIC_BASE = 0x1b,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    MSR_EFER = 0xc0000080,
    MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082,
    MSR_FMASK = 0xc0000084,
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101,
    MSR_TSC_AUX = 0xc0000103,
};

/* boot.c */
u64 pc_boot_page(void); /* zeroed; ends in fatal_error if there is none */
extern u64 kernel_pml4[512];

/* cpu.c */
void pc_boot_cpu_init(void);

/* ap.c */
void pc_cpu_found(u32 apic_id); /* the firmware names a CPU; after pc_apic_init() */
int pc_cpu_start(struct cpu *cpu);

/* mptable.c */
void pc_read_mptable(void); /* calls pc_cpu_found() */

/* tlb.c */
/* Let no CPU keep translations of [@va, +@len) in @as, NULL: the kernel's half, that were taken out
 * of its tables; @tables: page tables are about to be freed too. */
void pc_tlb_flush(struct plat_as *as, u64 va, u64 len, bool tables);
/* Every other CPU that is awake has answered. */
void pc_tlb_barrier(void);
/* No CPU has @as loaded when this returns; nobody switches to it any more. */
void pc_tlb_leave(struct plat_as *as);
/* TCG's TLB, 256 entries at first, doubles where a flush finds seven tenths of it in use, and at no
 * other time: a program that touches more and more pages gets its flush at 64, 128, 256 ... faults,
 * each of which is several entries. */
void pc_tlb_grow(struct pc_cpu *pc);
/* Before and after a CPU sleeps: meanwhile it need not be interrupted. */
void pc_tlb_rest(struct cpu *cpu);
void pc_tlb_resume(struct cpu *cpu);

/* apic.c */
void pc_apic_init(void);
void pc_timer_arm(u64 deadline_ns);
void pc_timer_measure(void); /* before another CPU may arm its own */
void pc_cpu_kick(struct cpu *cpu);
void pc_cpu_stop(struct cpu *cpu);
void pc_apic_send(u32 apic_id, u32 command); /* low word of the ICR */
int pc_irq_route_gsi(u32 gsi, u32 line);
int pc_irq_route_msi(u32 line, u32 cpu, u64 *addr, u32 *data);
void pc_ioapic_add(u64 pa, u32 gsi_base);
u64 pc_lapic_elapsed(void); /* ticks of the timer since pc_apic_init, which was just now */

/* acpi_power.c */
void pc_acpi_power_off(void); /* returns if it did not work */
u32 pc_pm_timer_port(void);   /* 0: none */
u32 pc_pm_timer_read(void);
u8 pc_rtc_century(void); /* index of the clock's byte of the century; 0: none */

/* clock.c */
void pc_clock_init(void);
u64 pc_clock_real_ns(void);

/* smbios.c */
bool pc_firmware_text(char *out, size_t size);

/* paging.c */
int pc_as_create(struct plat_as *as);
void pc_as_destroy(struct plat_as *as, plat_gone_fn gone, void *arg);
void pc_as_switch(struct plat_as *as);
int pc_map_page(struct plat_as *as, u64 va, u64 pa, u32 prot);
u32 pc_map_around(struct plat_as *as, u64 va, u64 pa, u32 n, u32 prot);
int pc_map(struct plat_as *as, u64 va, u64 pa, u64 len, u32 prot);
int pc_replace(struct plat_as *as, u64 va, u64 pa, u32 prot);
int pc_unmap(struct plat_as *as, u64 va, u64 len, plat_gone_fn gone, void *arg);
int pc_protect(struct plat_as *as, u64 va, u64 len, u32 prot);
bool pc_query(struct plat_as *as, u64 va, u64 *pa, u32 *prot);
u64 pc_next_page(struct plat_as *as, u64 va, u64 end);
void pc_clear_marks(struct plat_as *as, u64 va, u64 len);
int pc_move(struct plat_as *as, u64 from, u64 to, u64 len);
int pc_copy(struct plat_as *to, struct plat_as *from, u64 va, u64 len, struct plat_copy *copy);
void pc_as_flush(struct plat_as *as);
int pc_kernel_map(u64 va, u64 pa, u64 len, u32 prot);
void pc_kernel_unmap(const u64 *starts, u32 n, u64 len);
/* Registers at physical @pa, uncached; never unmapped. NULL: no memory or no room. */
void *pc_map_device(u64 pa, u64 len);
void *pc_map_firmware(u64 pa, u64 len); /* tables in memory; read only by convention */

/* pci.c */
u32 pc_pci_read(u32 bus, u32 dev, u32 fn, u32 offset, u32 size);
void pc_pci_write(u32 bus, u32 dev, u32 fn, u32 offset, u32 size, u32 value);
void pc_pci_set_ecam(u64 pa); /* of 256 buses, unless MCFG knows better; 0: none */
bool pc_pci_present(void);
