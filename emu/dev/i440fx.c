/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Host bridge: see i440fx.h. Intel 82441FX (PMC) datasheet (290549), "PAM" and "SMRAM" registers.
 *
 * Each PAM segment is a RAM range of its own above the ROMs; RE and WE of its register switch its two halves,
 * and what is switched off falls through to the ROM or PCI below. SMRAM is visible outside SMM only while it
 * is open; this board never enters SMM (see piix4_pm.c).
 */
#include "emu/dev/i440fx.h"
#include "emu/trace.h"

#include <string.h>

enum { SEGMENTS = 13, PAM_READ = 1, PAM_WRITE = 2 };
enum {
    SMRAM_BASE_SEGMENT = 0x02,
    SMRAM_ENABLE = 0x08,
    SMRAM_LOCK = 0x10,
    SMRAM_CLOSED = 0x20,
    SMRAM_OPEN = 0x40
};
enum { SMRAM_WRITABLE = SMRAM_ENABLE | SMRAM_LOCK | SMRAM_CLOSED | SMRAM_OPEN };
enum { PCICMD_RESET = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, PCISTS_RESET = 0x0280 };

/* Address and register nibble of each segment. */
static const struct segment {
    const char *name;
    uint32_t base, size;
    uint8_t reg, shift;
} segments[SEGMENTS] = {
    {"pam-c0000", 0xc0000, 0x4000, 0x5a, 0},  {"pam-c4000", 0xc4000, 0x4000, 0x5a, 4},
    {"pam-c8000", 0xc8000, 0x4000, 0x5b, 0},  {"pam-cc000", 0xcc000, 0x4000, 0x5b, 4},
    {"pam-d0000", 0xd0000, 0x4000, 0x5c, 0},  {"pam-d4000", 0xd4000, 0x4000, 0x5c, 4},
    {"pam-d8000", 0xd8000, 0x4000, 0x5d, 0},  {"pam-dc000", 0xdc000, 0x4000, 0x5d, 4},
    {"pam-e0000", 0xe0000, 0x4000, 0x5e, 0},  {"pam-e4000", 0xe4000, 0x4000, 0x5e, 4},
    {"pam-e8000", 0xe8000, 0x4000, 0x5f, 0},  {"pam-ec000", 0xec000, 0x4000, 0x5f, 4},
    {"pam-f0000", 0xf0000, 0x10000, 0x59, 4},
};

struct i440fx {
    struct pci_device pci;
    uint32_t confadd; /* for saved state: the bus has it while running */
    struct phys_range *segment[SEGMENTS];
    struct phys_range *smram;
};

static void apply(struct i440fx *host)
{
    struct physmap *mem = pci_bus_memory(host->pci.bus);
    physmap_begin(mem);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        unsigned bits = host->pci.config[segments[i].reg] >> segments[i].shift;
        physmap_range_set_access(mem, host->segment[i], bits & PAM_READ, bits & PAM_WRITE);
    }
    uint8_t smram = host->pci.config[I440FX_SMRAM];
    physmap_range_enable(mem, host->smram,
                         smram & SMRAM_ENABLE && smram & SMRAM_OPEN && !(smram & SMRAM_CLOSED));
    physmap_end(mem);
}

static void set_lock(struct i440fx *host)
{
    /* D_LCK closes SMRAM and makes its register read-only until reset. */
    bool locked = host->pci.config[I440FX_SMRAM] & SMRAM_LOCK;
    if (locked)
        host->pci.config[I440FX_SMRAM] &= (uint8_t)~SMRAM_OPEN;
    host->pci.wmask[I440FX_SMRAM] = locked ? 0 : SMRAM_WRITABLE;
}

static void written(struct pci_device *pci, uint8_t offset, unsigned size)
{
    struct i440fx *host = (struct i440fx *)pci;
    bool smram = offset <= I440FX_SMRAM && offset + size > I440FX_SMRAM;
    bool pam = offset <= I440FX_PAM6 && offset + size > I440FX_PAM0;
    if (smram)
        set_lock(host);
    if (smram || pam)
        apply(host);
}

void i440fx_shadow_all(struct i440fx *host)
{
    host->pci.config[I440FX_PAM0] = 0x30;
    for (unsigned reg = I440FX_PAM0 + 1; reg <= I440FX_PAM6; reg++)
        host->pci.config[reg] = 0x33;
    apply(host);
}

static void i440fx_reset(struct device *device)
{
    struct i440fx *host = (struct i440fx *)device;
    pci_device_reset(&host->pci);
    pci_set16(&host->pci, PCI_COMMAND, PCICMD_RESET);
    pci_set16(&host->pci, PCI_STATUS, PCISTS_RESET);
    for (unsigned reg = I440FX_PAM0; reg <= I440FX_PAM6; reg++)
        host->pci.config[reg] = 0;
    host->pci.config[I440FX_SMRAM] = SMRAM_BASE_SEGMENT;
    set_lock(host);
    pci_bus_set_address(host->pci.bus, 0);
    apply(host);
}

/* DRAM is refreshed in S3, and what says where it is seen is kept with it: firmware resumes in shadow RAM. */
static void i440fx_wake(struct device *device)
{
    struct i440fx *host = (struct i440fx *)device;
    uint8_t kept[I440FX_SMRAM + 1 - I440FX_PAM0];
    memcpy(kept, &host->pci.config[I440FX_PAM0], sizeof kept);
    i440fx_reset(device);
    memcpy(&host->pci.config[I440FX_PAM0], kept, sizeof kept);
    set_lock(host);
    apply(host);
}

static void i440fx_before_save(void *device)
{
    struct i440fx *host = device;
    host->confadd = pci_bus_address(host->pci.bus);
}

static bool i440fx_after_load(void *device, GError **error)
{
    struct i440fx *host = device;
    if (!pci_after_load(&host->pci, error))
        return false;
    pci_bus_set_address(host->pci.bus, host->confadd);
    set_lock(host);
    apply(host);
    return true;
}

static const struct state_field i440fx_fields[] = {PCI_STATE_ROWS(struct i440fx),
                                                   STATE(struct i440fx, U32, confadd)};
static const struct state_table i440fx_state = {
    .name = "i440fx",
    .version = 1,
    .fields = i440fx_fields,
    .count = G_N_ELEMENTS(i440fx_fields),
    .before_save = i440fx_before_save,
    .after_load = i440fx_after_load,
};

static void i440fx_free(struct device *device)
{
    struct i440fx *host = (struct i440fx *)device;
    pci_device_remove(&host->pci);
    g_free(host);
}

static const struct device_class i440fx_class = {.name = "i440FX",
                                                 .state = &i440fx_state,
                                                 .reset = i440fx_reset,
                                                 .wake = i440fx_wake,
                                                 .free = i440fx_free};

struct i440fx *i440fx_new(struct pci_bus *bus, GError **error)
{
    struct i440fx *host = g_new0(struct i440fx, 1);
    if (!pci_device_init(&host->pci, bus, &i440fx_class, "host-bridge", 0, 0, 0x8086, 0x1237, 0x060000, 2,
                         error)) {
        g_free(host);
        return NULL;
    }
    struct physmap *mem = pci_bus_memory(bus);
    physmap_begin(mem);
    for (unsigned i = 0; i < SEGMENTS; i++)
        host->segment[i] = physmap_add_ram(mem, segments[i].name, segments[i].base, segments[i].size,
                                           segments[i].base, I440FX_PAM_PRIORITY);
    host->smram = physmap_add_ram(mem, "smram", 0xa0000, 0x20000, 0xa0000, I440FX_SMRAM_PRIORITY);
    /* Memory and master are hard-wired on; parity and SERR can be switched. */
    pci_set16(&host->pci, PCI_COMMAND, PCICMD_RESET);
    host->pci.wmask[PCI_COMMAND] = 0x40;
    host->pci.wmask[PCI_COMMAND + 1] = 0x01;
    host->pci.wmask[PCI_INTERRUPT_LINE] = 0;
    host->pci.wmask[I440FX_PAM0] = 0x30;
    for (unsigned reg = I440FX_PAM0 + 1; reg <= I440FX_PAM6; reg++)
        host->pci.wmask[reg] = 0x33;
    host->pci.config_written = written;
    i440fx_reset(&host->pci.device);
    physmap_end(mem);
    return host;
}
