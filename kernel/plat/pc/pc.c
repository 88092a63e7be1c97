/* The table of operations of a PC, and the small ones among them. */
#include "plat/pc/pc.h"

#include "arch/atomic.h"
#include "arch/cpu.h"
#include "arch/features.h"
#include "core/irq.h"
#include "lib/string.h"
#include "plat/pc/acpi.h"
#include "plat/pc/cpu.h"

enum {
    COM1 = 0x3f8,
    UART_THR = 0,
    UART_LSR = 5,
    LSR_BREAK = 0x10,
    LSR_THRE = 0x20,    /* takes a byte */
    LSR_TEMT = 0x40,    /* has sent all of them */
    DEBUG_EXIT = 0x501, /* QEMU's isa-debug-exit */
    KBD_COMMAND = 0x64,
    KBD_PULSE_RESET = 0xfe,
    POLL_US = 20,
};

/* The look and the sleep must not be parted by an interrupt; STI takes effect after the HLT began.
 */
static void look_and_halt(void)
{
    __asm__ volatile("cli" ::: "memory");
    if (irq_is_pending())
        __asm__ volatile("sti" ::: "memory");
    else
        __asm__ volatile("sti\n hlt" ::: "memory");
}

/* Another CPU often has work for us at once, and to be woken from a halt costs far more. */
static bool comes_soon(void)
{
    u64 until = rdtsc() + boot_info.tsc_khz * POLL_US / 1000;

    do {
        if (irq_is_pending())
            return true;
        cpu_relax();
    } while (rdtsc() < until);
    return false;
}

static void pc_cpu_idle(void)
{
    struct cpu *cpu = this_cpu();

    if (likely(cpu_count == 1)) {
        look_and_halt();
        return;
    }
    bool *polls = &pc_cpu_of(cpu)->polls;
    pc_tlb_rest(cpu);
    __atomic_store_n(polls, true, __ATOMIC_RELAXED);
    bool soon = comes_soon();
    /* Who sets a bit looks at this after it; we look at the bits after this. */
    __atomic_store_n(polls, false, __ATOMIC_RELAXED);
    mb();
    if (!soon)
        look_and_halt();
    pc_tlb_resume(cpu);
}

void (*plat_uart_break)(void);

/* Looks at the line until it has @wanted, a bit of its status, but @limit times at most. */
static bool uart_look(u8 wanted, u32 limit)
{
    for (u32 tries = 0; tries < limit; tries++) {
        u8 status = inb(COM1 + UART_LSR);
        if (status == 0xff)
            return true; /* nothing there, which never keeps anybody waiting */
        if (unlikely(status & LSR_BREAK) && plat_uart_break)
            plat_uart_break();
        if (likely(status & wanted))
            return true;
    }
    return false;
}

/* A reader of the line that is slow for a moment must not cost any byte; one that reads no more is
 * waited for once. */
static bool uart_wait(u8 wanted)
{
    enum { LOOKS = 100, PATIENCE_MS = 3000, KHZ_UNKNOWN = 1000000 };
    static bool stuck; /* [A] */
    bool ready = uart_look(wanted, LOOKS);

    if (likely(ready) && likely(!__atomic_load_n(&stuck, __ATOMIC_RELAXED)))
        return true;
    if (!ready && !__atomic_load_n(&stuck, __ATOMIC_RELAXED)) {
        u64 khz = boot_info.tsc_khz ? boot_info.tsc_khz : KHZ_UNKNOWN;
        u64 until = rdtsc() + khz * PATIENCE_MS;
        while (!ready && rdtsc() < until)
            ready = uart_look(wanted, LOOKS);
    }
    __atomic_store_n(&stuck, !ready, __ATOMIC_RELAXED);
    return ready;
}

void (*plat_screen_write)(const char *text, size_t len);

static void pc_console_write(const char *text, size_t len)
{
    if (unlikely(plat_screen_write))
        plat_screen_write(text, len);
    for (size_t i = 0; i < len; i++)
        if (uart_wait(LSR_THRE))
            outb(COM1 + UART_THR, (u8)text[i]);
}

static bool random_word(u64 *v)
{
    u8 ok = 0;

    for (u32 tries = 0; tries < 10 && !ok; tries++) {
        if (arch_features.rdseed)
            __asm__ volatile("rdseed %0\n setc %1" : "=r"(*v), "=qm"(ok)::"cc");
        if (!ok && arch_features.rdrand)
            __asm__ volatile("rdrand %0\n setc %1" : "=r"(*v), "=qm"(ok)::"cc");
    }
    return ok;
}

static size_t pc_random_seed(void *buf, size_t len)
{
    size_t done = 0;
    u64 v;

    while (done < len && random_word(&v)) {
        size_t n = min(len - done, sizeof(v));
        memcpy((char *)buf + done, &v, n);
        done += n;
    }
    return done;
}

/* A triple fault: no interrupt table, then an exception. */
static void triple_fault(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        u64 base;
    } none = {0, 0};
    __asm__ volatile("lidt %0\n int3" ::"m"(none));
}

__attribute__((noreturn)) static void pc_power_off(u32 code)
{
    uart_wait(LSR_TEMT); /* what the line has not sent ends with the machine */
    outb(DEBUG_EXIT, (u8)code);
    pc_acpi_power_off();
    outb(KBD_COMMAND, KBD_PULSE_RESET);
    triple_fault();
    for (;;)
        __asm__ volatile("cli\n hlt");
}

static void pc_init(void)
{
    bool acpi = acpi_tables_init(boot_info.rsdp_pa);

    pc_apic_init();
    if (acpi) {
        acpi_read_madt();
        acpi_read_fadt();
    } else {
        pc_read_mptable();
    }
    pc_clock_init();
    boot_info.has_pci = pc_pci_present();
    __asm__ volatile("sti" ::: "memory"); /* and so it stays: see "the one rule of context" */
}

struct plat_ops plat = {
    .name = "pc",
    .init = pc_init,
    .cpu_size = sizeof(struct pc_cpu),
    .cpu_start = pc_cpu_start,
    .cpu_stop = pc_cpu_stop,
    .cpu_barrier = pc_tlb_barrier,
    .cpu_idle = pc_cpu_idle,
    .cpu_kick = pc_cpu_kick,
    .timer_arm = pc_timer_arm,
    .as_create = pc_as_create,
    .as_destroy = pc_as_destroy,
    .as_switch = pc_as_switch,
    .map_page = pc_map_page,
    .map_around = pc_map_around,
    .map = pc_map,
    .replace = pc_replace,
    .unmap = pc_unmap,
    .protect = pc_protect,
    .query = pc_query,
    .next_page = pc_next_page,
    .clear_marks = pc_clear_marks,
    .move = pc_move,
    .copy = pc_copy,
    .as_flush = pc_as_flush,
    .kernel_map = pc_kernel_map,
    .kernel_unmap = pc_kernel_unmap,
    .map_device = pc_map_device,
    .console_write = pc_console_write,
    .random_seed = pc_random_seed,
    .firmware_text = pc_firmware_text,
    .clock_real_ns = pc_clock_real_ns,
    .power_off = pc_power_off,
    .irq_route_gsi = pc_irq_route_gsi,
    .irq_route_msi = pc_irq_route_msi,
    .pci_read = pc_pci_read,
    .pci_write = pc_pci_write,
    .ports = true,
};
