/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes a QMP session: bytes as a client would send them, in two pieces. The first byte chooses whether the
 * session has negotiated, and where the cut is.
 */
#include "emu/char/char_internal.h"
#include "emu/control/control_internal.h"
#include "emu/machine/clock.h"

#include "tests/fuzz/fuzz_main.h"

static enum control_status status(void *opaque)
{
    return CONTROL_RUNNING;
}

static void nothing(void *opaque)
{
}

static bool cont(void *opaque, GError **error)
{
    return true;
}

static bool no_chardev(void *opaque, unsigned index, struct control_char *out)
{
    return false;
}

static bool no_nic(void *opaque, unsigned index, struct control_nic *out)
{
    return false;
}

static bool set_link(void *opaque, const char *name, bool up, GError **error)
{
    g_set_error(error, g_quark_from_static_string("fuzz"), 1, "Device '%s' not found", name);
    return false;
}

static bool no_drive(void *opaque, unsigned index, struct control_drive *out)
{
    return false;
}

static bool eject(void *opaque, const char *id, bool force, GError **error)
{
    return true;
}

static bool change(void *opaque, const char *id, const char *file, const char *format,
                   enum control_access access, GError **error)
{
    return set_link(opaque, id, *file != 0, error);
}

static bool tray(void *opaque, const char *id, enum control_tray what, bool force, GError **error)
{
    return set_link(opaque, id, force, error);
}

static bool resize(void *opaque, const char *id, uint64_t size, GError **error)
{
    return set_link(opaque, id, size & 1, error);
}

static bool commit(void *opaque, const char *id, GError **error)
{
    return true;
}

static bool limit(void *opaque, const char *id, const struct block_limits *limits, const char *group,
                  GError **error)
{
    return set_link(opaque, id, group != NULL, error);
}

static void describe(void *opaque, enum control_info what, GString *out)
{
}

static size_t read_memory(void *opaque, bool physical, uint64_t addr, void *buf, size_t len)
{
    memset(buf, 0, len);
    return addr < 256 ? len : 0;
}

static uint32_t read_port(void *opaque, uint16_t port, unsigned size)
{
    return 0;
}

static void write_port(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
}

static void key(void *opaque, unsigned code, bool down)
{
}

static void counters(void *opaque,
                     void (*visit)(void *visitor, const char *group, const char *name, uint64_t value),
                     void *visitor)
{
    visit(visitor, "cpu", "instructions", 1);
}

static void mouse(void *opaque, int dx, int dy, int dz, int buttons)
{
}

static bool screendump(void *opaque, const char *path, const char *format, GError **error)
{
    return true;
}

static bool no_vnc(void *opaque, unsigned index, struct control_vnc *out)
{
    return false;
}

static bool vnc_password(void *opaque, const char *password, GError **error)
{
    return true;
}

static bool keys(void *opaque, const unsigned *codes, unsigned count, unsigned hold_ms, GError **error)
{
    return hold_ms != 1 || set_link(NULL, "keyboard", true, error);
}

static bool plug(void *opaque, const char *words, GError **error)
{
    return strlen(words) & 1 || set_link(NULL, words, true, error);
}

static bool one_pci(void *opaque, unsigned index, struct control_pci *out)
{
    *out = (struct control_pci){.id = "nic", .vendor = 0x8086, .bar = {{.size = 64, .is_io = true}}};
    return index == 0;
}

static bool one_device(void *opaque, unsigned index, const char **id, const char **class)
{
    *id = "nic";
    *class = "e1000";
    return index == 0;
}

/* Nothing is written to where a fuzzer says. */
static int no_file(void *opaque, const char *path, GError **error)
{
    set_link(opaque, path, false, error);
    return -1;
}

static const struct control_machine machine = {.name = "fuzz",
                                               .status = status,
                                               .stop = nothing,
                                               .cont = cont,
                                               .quit = nothing,
                                               .reset = nothing,
                                               .power_button = nothing,
                                               .nmi = nothing,
                                               .chardev = no_chardev,
                                               .nic = no_nic,
                                               .set_link = set_link,
                                               .drive = no_drive,
                                               .eject = eject,
                                               .change = change,
                                               .tray = tray,
                                               .resize = resize,
                                               .commit = commit,
                                               .limit = limit,
                                               .describe = describe,
                                               .counters = counters,
                                               .read_memory = read_memory,
                                               .read_port = read_port,
                                               .write_port = write_port,
                                               .keys = keys,
                                               .chardev_add = plug,
                                               .chardev_remove = plug,
                                               .pci = one_pci,
                                               .device = one_device,
                                               .create = no_file,
                                               .netdev_add = plug,
                                               .netdev_del = plug,
                                               .device_add = plug,
                                               .device_del = plug,
                                               .object_add = plug,
                                               .object_del = plug,
                                               .key = key,
                                               .mouse = mouse,
                                               .screendump = screendump,
                                               .vnc = no_vnc,
                                               .vnc_password = vnc_password};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    if (!loop)
        loop = loop_new(clock_new(), NULL);
    if (!size)
        return 0;
    struct control *control = control_new(&machine, loop);
    struct char_port *port = char_open("fuzz", "null", loop, NULL);
    control_add_qmp(control, port, false);
    if (data[0] & 1)
        char_port_deliver(port, (const uint8_t *)hello, sizeof hello - 1);
    size_t cut = MIN((size_t)(data[0] >> 1), size - 1);
    char_port_deliver(port, data + 1, cut);
    /* in pieces no larger than a port reads at a time */
    for (size_t at = 1 + cut; at < size; at += 1024)
        char_port_deliver(port, data + at, MIN(size - at, (size_t)1024));
    control_event(control, "STOP", NULL);
    control_free(control);
    char_free(port);
    trace_mask = 0;
    loop_dispatch(loop);
    return 0;
}

FUZZ_MAIN(1000, 4000)
