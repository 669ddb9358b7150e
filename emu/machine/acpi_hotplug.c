/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The DSDT's part in plugging PCI functions (ACPI 2.0, chapters 6.3 and 16.2): an object for each slot that a
 * function may come to or go from, with its address, its number for people and _EJ0; and what GPE 1 calls,
 * which looks at the registers of emu/dev/pci_hotplug.h and tells the system of each slot that changed.
 *
 * The `up` register is read once, into a local: reading clears it.
 */
#include "emu/dev/pci_hotplug.h"
#include "emu/machine/acpi.h"
#include "emu/machine/aml.h"

#include <stdio.h>

enum { NOTIFY_CHECK = 1, NOTIFY_EJECT = 3, LOCAL_UP = 0, LOCAL_DOWN = 1 };

static void slot_name(char name[5], unsigned slot)
{
    (void)snprintf(name, 5, "S%02X", (slot << 3) & 0xff);
}

static void notify_slots(GByteArray *method, uint32_t slots, unsigned local, unsigned event)
{
    for (unsigned slot = 0; slot < PCI_HOTPLUG_SLOTS; slot++) {
        char name[5];
        if (!(slots >> slot & 1))
            continue;
        GByteArray *then = g_byte_array_new();
        slot_name(name, slot);
        aml_notify(then, name, event);
        aml_if_local_and(method, local, 1u << slot, then);
    }
}

void acpi_add_hotplug_slots(GByteArray *pci, uint32_t slots)
{
    static const struct aml_field registers[] = {{"PCUP", 32}, {"PCDN", 32}, {"PCEJ", 32}};
    aml_io_region(pci, "PCHR", PCI_HOTPLUG_PORT, PCI_HOTPLUG_SIZE);
    aml_dword_fields(pci, "PCHR", registers, G_N_ELEMENTS(registers));
    for (unsigned slot = 0; slot < PCI_HOTPLUG_SLOTS; slot++) {
        char name[5];
        if (!(slots >> slot & 1))
            continue;
        GByteArray *device = g_byte_array_new(), *eject = g_byte_array_new();
        slot_name(name, slot);
        aml_name_integer(device, "_ADR", slot << 16);
        aml_name_integer(device, "_SUN", slot);
        aml_store_integer(eject, 1u << slot, "PCEJ");
        aml_method(device, "_EJ0", 1, eject);
        aml_device(pci, name, device);
    }
    GByteArray *changed = g_byte_array_new();
    aml_store_name_in_local(changed, "PCUP", LOCAL_UP);
    aml_store_name_in_local(changed, "PCDN", LOCAL_DOWN);
    notify_slots(changed, slots, LOCAL_UP, NOTIFY_CHECK);
    notify_slots(changed, slots, LOCAL_DOWN, NOTIFY_EJECT);
    aml_method(pci, "PCHP", 0, changed);
}

void acpi_add_hotplug_resources(GByteArray *scope)
{
    GByteArray *device = g_byte_array_new(), *crs = g_byte_array_new(), *buffer = g_byte_array_new();
    aml_name_eisa_id(device, "_HID", "PNP0A06");
    aml_name_string_value(device, "_UID", "PCI hot-plug");
    aml_name_integer(device, "_STA", 0x0b);
    aml_resource_io(crs, PCI_HOTPLUG_PORT, PCI_HOTPLUG_SIZE);
    aml_resource_end(crs);
    aml_buffer(buffer, crs);
    aml_name_term(device, "_CRS", buffer);
    aml_device(scope, "PCHR", device);
}

void acpi_add_hotplug_event(GByteArray *table)
{
    GByteArray *scope = g_byte_array_new(), *event = g_byte_array_new();
    static const char *const path[] = {"_SB", "PCI0", "PCHP"};
    aml_absolute_path(event, path, G_N_ELEMENTS(path));
    aml_method(scope, "_E01", 0, event);
    aml_scope(table, "\\_GPE", scope);
}
