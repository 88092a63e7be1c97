/* Reading the firmware's tables.  They are input: every access is bounds-checked. */
#pragma once

#include "lib/types.h"

/* A table that passed its checks: header included, mapped. */
struct acpi_table {
    const u8 *data;
    u32 len;
};

/** The first table with the 4-letter @signature; false if there is none that is sound. */
bool acpi_find(const char *signature, struct acpi_table *out);

/** The table at physical address @pa, whose signature must be @signature. */
bool acpi_table_at(u64 pa, const char *signature, struct acpi_table *out);

/** A little-endian field of @size bytes at @offset; 0 where the table is too short. */
u64 acpi_field(const struct acpi_table *t, u32 offset, u32 size);

/** Follow the RSDP (0: none) to the list of tables.  False if there is no ACPI. */
bool acpi_tables_init(u64 rsdp_pa);

/** The MADT: I/O APICs and CPUs. */
void acpi_read_madt(void);

/** The FADT: power management; see acpi_power.c. */
void acpi_read_fadt(void);

/**
 * Value for SLP_TYP of state S5 in the AML at @aml; -1 if it is not spelled there.
 * A bounded search for the name, not an interpreter.
 */
int acpi_find_s5(const u8 *aml, u32 len);

struct plat_device;

/**
 * Devices in the AML at @aml whose _HID is @hid, by the fixed 32-bit memory range and the interrupt
 * of their _CRS. At most @max go to @out; returns how many.
 * A bounded search as well: it knows the literal buffers that firmware writes, nothing else.
 */
u32 acpi_find_devices(const u8 *aml, u32 len, const char *hid, struct plat_device *out, u32 max);

/**
 * The largest range of memory below 4 GiB that a host bridge passes on to PCI, by a fixed DWORD
 * address space descriptor.  False: there is none.
 */
bool acpi_find_pci_window(const u8 *aml, u32 len, u64 *base, u64 *bytes);

/** Where a host bridge says that its configuration space lies (_CBA: PCI firmware 3.3, 4.1.3), 0:
 * it does not. */
u64 acpi_find_ecam(const u8 *aml, u32 len);

/**
 * The generic event device, ACPI0013: where its selector lies, and its interrupt.  False: there is
 * none that we understand.
 */
bool acpi_find_event_device(const u8 *aml, u32 len, u64 *pa, u32 *gsi);
