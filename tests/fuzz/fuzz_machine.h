/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A machine for the fuzzers of the control room: every function is there, nothing is done, and what can fail
 * does so for some arguments. Nothing is written to where a fuzzer says.
 */
#pragma once

#include "emu/char/char_internal.h"
#include "emu/control/control_internal.h"

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

static bool no_capture(void *opaque, unsigned index, struct control_capture *out)
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
                   enum control_access access, bool force, GError **error)
{
    return set_link(opaque, id, *file != 0, error);
}

static bool tray(void *opaque, const char *id, enum control_tray what, bool force, GError **error)
{
    return set_link(opaque, id, force, error);
}

static bool node(void *opaque, unsigned index, struct control_drive *out)
{
    *out = (struct control_drive){
        .id = "n", .node_name = "n", .node = true, .file = "f", .format = "file", .cache = "writeback"};
    return index == 0;
}

static bool blockdev_add(void *opaque, const char *words, GError **error)
{
    return set_link(opaque, words, *words != 0, error);
}

static bool blockdev_del(void *opaque, const char *name, GError **error)
{
    return set_link(opaque, name, *name != 0, error);
}

static bool blockdev_reopen(void *opaque, const char *const *names, const char *const *words, GError **error)
{
    for (; *names; names++, words++)
        g_assert_nonnull(*words);
    g_assert_null(*words);
    return true;
}

static bool announce(void *opaque, const struct control_announce *how, GError **error)
{
    g_assert_true(how->id && how->rounds <= 1000 && how->initial >= 0 && how->max >= 0 && how->step >= 0);
    return true;
}

static bool insert(void *opaque, const char *id, const char *name, GError **error)
{
    return set_link(opaque, id, *name != 0, error);
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

static bool succeed(void *opaque)
{
    return true;
}

static bool watchdog_action(void *opaque, const char *action, GError **error)
{
    return set_link(opaque, action, true, error);
}

static struct char_port *no_port(void *opaque, const char *id)
{
    return NULL;
}

static bool forward(void *opaque, const char *name, const char *rule, bool add, GError **error)
{
    return set_link(opaque, rule, add, error);
}

static bool register_value(void *opaque, const char *name, uint32_t *value)
{
    *value = 0xfff0;
    return g_str_equal(name, "eip");
}

static unsigned disassemble(void *opaque, bool physical, uint64_t addr, char *text, size_t size)
{
    g_strlcpy(text, "nop", size);
    return addr < 256;
}

static const void *no_address(void *opaque, uint64_t addr)
{
    return NULL;
}

static const char *no_name(void *opaque, unsigned index)
{
    return NULL;
}

static bool no_key(void *opaque, const char *of, unsigned index, struct control_key *out)
{
    return false;
}

static bool change_port(void *opaque, const char *id, const char *words, GError **error)
{
    return plug(opaque, words, error);
}

static bool expire(void *opaque, int64_t when, GError **error)
{
    return true;
}

static const struct control_machine fuzz_machine = {.name = "fuzz",
                                                    .cpu = "c",
                                                    .chardev_change = change_port,
                                                    .chardev_break = plug,
                                                    .gdbserver = plug,
                                                    .boot_set = plug,
                                                    .host_address = no_address,
                                                    .vnc_expire = expire,
                                                    .option_name = no_name,
                                                    .option_key = no_key,
                                                    .device_type = no_name,
                                                    .device_key = no_key,
                                                    .cpu_model = no_name,
                                                    .status = status,
                                                    .stop = nothing,
                                                    .cont = cont,
                                                    .quit = nothing,
                                                    .reset = nothing,
                                                    .power_button = nothing,
                                                    .nmi = nothing,
                                                    .wake = succeed,
                                                    .can_suspend = true,
                                                    .watchdog_action = watchdog_action,
                                                    .port = no_port,
                                                    .forward = forward,
                                                    .register_value = register_value,
                                                    .disassemble = disassemble,
                                                    .chardev = no_chardev,
                                                    .nic = no_nic,
                                                    .capture = no_capture,
                                                    .set_link = set_link,
                                                    .drive = no_drive,
                                                    .eject = eject,
                                                    .change = change,
                                                    .tray = tray,
                                                    .node = node,
                                                    .blockdev_add = blockdev_add,
                                                    .blockdev_del = blockdev_del,
                                                    .blockdev_reopen = blockdev_reopen,
                                                    .announce = announce,
                                                    .display = "none",
                                                    .insert = insert,
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
