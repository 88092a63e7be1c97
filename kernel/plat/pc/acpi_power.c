/* Power management through the FADT (ACPI 6.5, 4.8 and 5.2.9): soft off, reset, the PM timer, and
 * the power button, which asks the program to stop. */
#include "abi/errno.h"
#include "arch/cpu.h"
#include "arch/hooks.h"
#include "core/irq.h"
#include "core/log.h"
#include "plat/pc/acpi.h"
#include "plat/pc/pc.h"

/* Offsets in the FADT. */
enum {
    FADT_DSDT = 40,
    FADT_SCI_INT = 46,
    FADT_SMI_CMD = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_PM1A_EVT = 56,
    FADT_PM1A_CNT = 64,
    FADT_PM_TMR = 76,
    FADT_PM1_EVT_LEN = 88,
    FADT_CENTURY = 108,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_SLEEP_CONTROL = 244,
};

enum {
    FLAG_RESET_REG = 1 << 10,
    FLAG_HW_REDUCED = 1 << 20,
    PM1_PWRBTN = 1 << 8,
    PM1_SCI_EN = 1 << 0,
    SLP_EN = 1 << 13,
    SLEEP_CONTROL_EN = 1 << 5,
    SPACE_MEMORY = 0,
    SPACE_IO = 1,
    EVENT_POWER_DOWN = 2,
};

/* A generic address: only those we use are kept. */
struct gas {
    u32 space;
    u64 addr; /* 0: none */
};

/* [I] */
static struct {
    u16 pm1a_evt, pm1a_cnt, pm_timer;
    u8 pm1_evt_len;
    int s5_type; /* -1: unknown */
    struct gas reset, sleep;
    u8 reset_value;
    u8 century;
    volatile u32 *events; /* of the generic event device; NULL: none */
} power = {.s5_type = -1};

static struct gas read_gas(const struct acpi_table *t, u32 offset)
{
    return (struct gas){(u32)acpi_field(t, offset, 1), acpi_field(t, offset + 4, 8)};
}

static void write_gas(struct gas g, u8 value)
{
    if (!g.addr)
        return;
    if (g.space == SPACE_IO) {
        outb((u16)g.addr, value);
    } else if (g.space == SPACE_MEMORY) {
        volatile u8 *reg = pc_map_device(g.addr, 1);
        if (reg)
            *reg = value;
    }
}

/* The selector says what has happened, and forgets it when it is read. */
static void generic_event(void *arg)
{
    (void)arg;
    if (!(*power.events & EVENT_POWER_DOWN))
        return;
    log_info("acpi: power button");
    stop_requested();
}

/* Machines without the fixed registers have a device whose method reads a selector
 * (ACPI 6.5, 5.6.9); we read it as QEMU's method does. */
static void enable_generic_events(const struct acpi_table *dsdt)
{
    u64 pa;
    u32 gsi;

    if (!acpi_find_event_device(dsdt->data, dsdt->len, &pa, &gsi))
        return;
    power.events = pc_map_device(pa, sizeof(u32));
    int line = power.events ? irq_register(generic_event, NULL) : -ENOMEM;
    if (line < 0 || pc_irq_route_gsi(gsi, (u32)line))
        log_warn("acpi: no interrupt for the power button");
}

static void read_dsdt(const struct acpi_table *fadt)
{
    struct acpi_table dsdt;
    u64 pa = acpi_field(fadt, FADT_X_DSDT, 8);

    if (!pa)
        pa = acpi_field(fadt, FADT_DSDT, 4);
    if (acpi_table_at(pa, "DSDT", &dsdt)) {
        power.s5_type = acpi_find_s5(dsdt.data, dsdt.len);
        if (!power.pm1a_evt) { /* and no firmware that gives PCI devices addresses */
            enable_generic_events(&dsdt);
            pc_pci_set_ecam(acpi_find_ecam(dsdt.data, dsdt.len));
            acpi_find_pci_window(dsdt.data, dsdt.len, &boot_info.pci_window_pa,
                                 &boot_info.pci_window_len);
        }
        boot_info.nr_virtio_mmio =
            acpi_find_devices(dsdt.data, dsdt.len, "LNRO0005", boot_info.virtio_mmio,
                              ARRAY_LEN(boot_info.virtio_mmio));
    }
    if (power.s5_type < 0)
        log_warn("acpi: no \\_S5_ in the DSDT, power off may not work");
}

/* The button's status bit is cleared by writing it. */
static void power_button(void *arg)
{
    (void)arg;
    if (!(inw(power.pm1a_evt) & PM1_PWRBTN))
        return;
    outw(power.pm1a_evt, PM1_PWRBTN);
    log_info("acpi: power button");
    stop_requested();
}

static void enable_power_button(const struct acpi_table *fadt)
{
    if (!power.pm1a_evt || power.pm1_evt_len < 4)
        return;
    int line = irq_register(power_button, NULL);
    if (line < 0 || pc_irq_route_gsi((u32)acpi_field(fadt, FADT_SCI_INT, 2), (u32)line)) {
        log_warn("acpi: no interrupt for the power button");
        return;
    }
    u16 smi = (u16)acpi_field(fadt, FADT_SMI_CMD, 4);
    if (smi && !(inw(power.pm1a_cnt) & PM1_SCI_EN))
        outb(smi, (u8)acpi_field(fadt, FADT_ACPI_ENABLE, 1));
    outw(power.pm1a_evt, PM1_PWRBTN);
    outw((u16)(power.pm1a_evt + power.pm1_evt_len / 2), PM1_PWRBTN);
}

void acpi_read_fadt(void)
{
    struct acpi_table fadt;

    if (!acpi_find("FACP", &fadt))
        return;
    u32 flags = (u32)acpi_field(&fadt, FADT_FLAGS, 4);
    power.century = (u8)acpi_field(&fadt, FADT_CENTURY, 1);
    if (flags & FLAG_RESET_REG) {
        power.reset = read_gas(&fadt, FADT_RESET_REG);
        power.reset_value = (u8)acpi_field(&fadt, FADT_RESET_VALUE, 1);
    }
    if (flags & FLAG_HW_REDUCED) {
        power.sleep = read_gas(&fadt, FADT_SLEEP_CONTROL);
    } else {
        power.pm1a_evt = (u16)acpi_field(&fadt, FADT_PM1A_EVT, 4);
        power.pm1a_cnt = (u16)acpi_field(&fadt, FADT_PM1A_CNT, 4);
        power.pm_timer = (u16)acpi_field(&fadt, FADT_PM_TMR, 4);
        power.pm1_evt_len = (u8)acpi_field(&fadt, FADT_PM1_EVT_LEN, 1);
        enable_power_button(&fadt);
    }
    read_dsdt(&fadt);
}

/* Returns if the machine is still there. */
void pc_acpi_power_off(void)
{
    if (power.s5_type >= 0 && power.pm1a_cnt)
        outw(power.pm1a_cnt, (u16)(power.s5_type << 10 | SLP_EN));
    if (power.s5_type >= 0)
        write_gas(power.sleep, (u8)(power.s5_type << 2 | SLEEP_CONTROL_EN));
    write_gas(power.reset, power.reset_value);
}

u8 pc_rtc_century(void)
{
    return power.century;
}

u32 pc_pm_timer_port(void)
{
    return power.pm_timer;
}

u32 pc_pm_timer_read(void)
{
    return inl(power.pm_timer);
}
