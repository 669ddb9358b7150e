/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Handlers of -parallel, -watchdog, -watchdog-action and of -device isa-parallel, ib700, i6300esb,
 * pc-testdev.
 */
#include "emu/options_internal.h"

#include "emu/dev/parallel.h"

#include <gio/gio.h>
#include <string.h>

const struct keyval_row option_parallel_rows[OPTION_PARALLEL_ROWS] = {
    {"driver", KEYVAL_STRING},
    {"chardev", KEYVAL_NAME, .help = "id of the -chardev that gets what is printed"},
    {"index", KEYVAL_NUMBER, .help = "0 is LPT1; the first free one unless given", .max = PARALLEL_PORTS - 1},
    {"iobase", KEYVAL_NUMBER, .help = "its ports (by index: 0x378, 0x278, 0x3bc)", .min = 0x100,
     .max = 0xfff8},
    {"irq", KEYVAL_NUMBER, .help = "its ISA interrupt (7)", .min = 3, .max = 15},
    {"id", KEYVAL_NAME, .help = "its name"},
};
const struct keyval_row option_watchdog_rows[OPTION_WATCHDOG_ROWS] = {
    {"driver", KEYVAL_STRING},
    {"id", KEYVAL_NAME, .help = "its name"},
    {"addr", KEYVAL_STRING, .help = "PCI slot, hexadecimal; the first free one unless given (i6300esb)"},
    {"bus", KEYVAL_CHOICE, "pci.0|pci|isa.0"},
};
const struct keyval_row option_testdev_rows[OPTION_TESTDEV_ROWS] = {
    {"driver", KEYVAL_STRING},
    {"id", KEYVAL_NAME, .help = "accepted, no effect here"},
};

/* Takes `spec` over. */
static bool add_parallel(struct options *o, struct char_spec *spec, int index, uint64_t iobase, uint64_t irq,
                         const char *id, GError **error)
{
    GPtrArray *ports = o->config->parallels;
    if (index < 0 && !iobase) { /* the first address that nobody has */
        for (index = 0; index < PARALLEL_PORTS; index++) {
            bool taken = false;
            for (guint i = 0; i < ports->len; i++)
                taken |= ((struct machine_parallel *)ports->pdata[i])->iobase == parallel_base[index];
            if (!taken)
                break;
        }
    }
    bool room = ports->len < PARALLEL_PORTS && index < PARALLEL_PORTS;
    uint16_t base = iobase ? (uint16_t)iobase : room ? parallel_base[index] : 0;
    for (guint i = 0; room && i < ports->len; i++) {
        if (((struct machine_parallel *)ports->pdata[i])->iobase == base) {
            char_spec_clear(spec);
            return option_fail(
                error, "there is a parallel port at 0x%x already; give another index= or iobase=", base);
        }
    }
    if (!room) {
        char_spec_clear(spec);
        return option_fail(error, "there are %d parallel ports already", PARALLEL_PORTS);
    }
    struct machine_parallel *port = g_new0(struct machine_parallel, 1);
    port->spec = *spec;
    port->iobase = base;
    port->irq = (unsigned)irq;
    port->id = g_strdup(id);
    g_ptr_array_add(ports, port);
    return true;
}

/* QEMU has an LPT1 on a text console unless told otherwise; here there is one when it is asked for. */
bool option_parallel(struct options *o, const char *arg, GError **error)
{
    struct char_spec spec;
    if (g_str_equal(arg, "none"))
        return true;
    return char_spec_parse(arg, &spec, error) && add_parallel(o, &spec, -1, 0, PARALLEL_IRQ, NULL, error);
}

bool option_device_parallel(struct options *o, const struct keyval *kv, GError **error)
{
    if (!keyval_require(kv, "chardev", error))
        return false;
    struct char_spec spec = {
        .kind = CHAR_REFERENCE, .fd = -1, .path = g_strdup(keyval_string(kv, "chardev", NULL))};
    int index = keyval_has(kv, "index") ? (int)keyval_number(kv, "index", 0) : -1;
    return add_parallel(o, &spec, index, keyval_number(kv, "iobase", 0),
                        keyval_number(kv, "irq", PARALLEL_IRQ), keyval_string(kv, "id", NULL), error);
}

static bool add_watchdog(struct options *o, bool pci, int slot, const char *id, GError **error)
{
    for (guint i = 0; !pci && i < o->config->watchdogs->len; i++)
        if (!((struct machine_watchdog *)o->config->watchdogs->pdata[i])->pci)
            return option_fail(error, "there is an ib700 already, and its ports are fixed");
    struct machine_watchdog *dog = g_new0(struct machine_watchdog, 1);
    dog->pci = pci;
    dog->slot = slot;
    dog->id = g_strdup(id);
    g_ptr_array_add(o->config->watchdogs, dog);
    return true;
}

bool option_device_ib700(struct options *o, const struct keyval *kv, GError **error)
{
    if (keyval_has(kv, "addr"))
        return option_fail(error, "addr: an ib700 is an ISA card; leave it out");
    return add_watchdog(o, false, -1, keyval_string(kv, "id", NULL), error);
}

bool option_device_i6300esb(struct options *o, const struct keyval *kv, GError **error)
{
    int slot = -1;
    if (keyval_has(kv, "addr") && !option_parse_slot(keyval_string(kv, "addr", ""), &slot, error))
        return false;
    return add_watchdog(o, true, slot, keyval_string(kv, "id", NULL), error);
}

bool option_device_testdev(struct options *o, const struct keyval *kv, GError **error)
{
    if (o->config->testdev)
        return option_fail(error, "there is one already, and its ports are fixed");
    o->config->testdev = true;
    return true;
}

bool option_watchdog(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?"))
        return option_print(o, g_string_new("ib700     iBase IB700, an ISA card\n"
                                            "i6300esb  Intel 6300ESB, on the PCI bus\n"));
    if (g_str_equal(arg, "ib700"))
        return add_watchdog(o, false, -1, NULL, error);
    if (g_str_equal(arg, "i6300esb"))
        return add_watchdog(o, true, -1, NULL, error);
    return option_fail(error, "there is no watchdog '%s'; say ib700 or i6300esb", arg);
}

bool option_watchdog_action(struct options *o, const char *arg, GError **error)
{
    return machine_watchdog_parse(arg, &o->config->watchdog_action, error);
}
