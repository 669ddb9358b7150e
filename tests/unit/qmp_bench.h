/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * test_qmp.c's machine, which only takes notes, and the control room on it. For that file alone.
 */
#pragma once

#include "emu/block/backend.h"
#include "emu/control/control_internal.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct bench {
    struct clock *clock;
    struct loop *loop;
    struct control *control;
    struct control_machine machine;
    char *folder, *path;
    enum control_status status;
    unsigned quits, resets, buttons, nmis;
    bool link;
    char keys[128], words[256];
    unsigned hold_ms;
    struct char_port *ring; /* chardev "r" */
};

/* ---- the machine ---- */

static enum control_status fake_status(void *opaque)
{
    return ((struct bench *)opaque)->status;
}

static void fake_stop(void *opaque)
{
    struct bench *b = opaque;
    b->status = CONTROL_PAUSED;
    control_event(b->control, "STOP", NULL);
}

static bool fake_cont(void *opaque, GError **error)
{
    struct bench *b = opaque;
    if (b->status == CONTROL_SHUTDOWN) {
        g_set_error_literal(error, G_FILE_ERROR, 0, "Resetting the Virtual Machine is required");
        return false;
    }
    b->status = CONTROL_RUNNING;
    control_event(b->control, "RESUME", NULL);
    return true;
}

static void fake_quit(void *opaque)
{
    struct bench *b = opaque;
    b->quits++;
    control_event(b->control, "SHUTDOWN", "\"guest\": false, \"reason\": \"host-qmp-quit\"");
}

static void fake_reset(void *opaque)
{
    ((struct bench *)opaque)->resets++;
}

static void fake_button(void *opaque)
{
    ((struct bench *)opaque)->buttons++;
}

static void fake_nmi(void *opaque)
{
    ((struct bench *)opaque)->nmis++;
}

static bool fake_chardev(void *opaque, unsigned index, struct control_char *out)
{
    *out = (struct control_char){.id = "serial0", .spec = "null", .open = true, .dropped = 3};
    return index == 0;
}

static bool fake_nic(void *opaque, unsigned index, struct control_nic *out)
{
    struct bench *b = opaque;
    *out = (struct control_nic){.id = "net0",
                                .model = "e1000",
                                .backend = "n0",
                                .ifname = "tap0",
                                .mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56},
                                .link = b->link,
                                .tx_frames = 5,
                                .rx_bytes = UINT64_C(5000000000),
                                .drop_count = 1,
                                .drops = {{.end = "netdev", .reason = "filtered", .frames = 9}}};
    return index == 0;
}

static bool fake_rx_filter(void *opaque, unsigned index, struct control_rx_filter *out)
{
    static const uint8_t addresses[3][6] = {
        {0x52, 0x54, 0, 0x12, 0x34, 0x57}, {1, 0, 0x5e, 0, 0, 1}, {2, 0, 0, 0, 0, 9}};
    static const uint32_t vlans[128] = {[0] = 1 << 5, [127] = 1u << 31};
    *out = (struct control_rx_filter){.receiving = true,
                                      .broadcast = true,
                                      .by_vlan = true,
                                      .by_hash = true,
                                      .count = 3,
                                      .address = addresses,
                                      .vlan_table = vlans};
    return index == 0;
}

static bool fake_capture(void *opaque, unsigned index, struct control_capture *out)
{
    *out = (struct control_capture){.id = "f",
                                    .netdev = "n0",
                                    .file = "a.pcapng",
                                    .pcapng = true,
                                    .live = true,
                                    .frames = 2,
                                    .dropped = 3};
    return index == 0;
}

static struct char_port *fake_port(void *opaque, const char *id)
{
    return g_str_equal(id, "r") ? ((struct bench *)opaque)->ring : NULL;
}

static bool fake_drive(void *opaque, unsigned index, struct control_drive *out)
{
    static const struct control_drive drives[] = {
        {.id = "ide0-hd0",
         .file = "disk.qcow2",
         .format = "qcow2",
         .backing = "base",
         .cache = "none",
         .size = 4096},
        {.id = "ide1-cd0",
         .cache = "writeback",
         .removable = true,
         .has_tray = true,
         .locked = true,
         .tray_open = true},
    };
    if (index >= G_N_ELEMENTS(drives))
        return false;
    *out = drives[index];
    return true;
}

static bool fake_eject(void *opaque, const char *id, bool force, GError **error)
{
    if (force && g_str_equal(id, "ide1-cd0"))
        return true;
    g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 26, "Device '%s' is locked", id);
    return false;
}

static bool fake_change(void *opaque, const char *id, const char *file, const char *format,
                        enum control_access access, bool force, GError **error)
{
    if (g_str_equal(id, "ide1-cd0") && g_str_equal(file, "a.iso") &&
        (!format || g_str_equal(format, "raw")) && access != CONTROL_ACCESS_WRITE)
        return true;
    g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 1, "Device '%s' not found", id);
    return false;
}

static bool fake_tray(void *opaque, const char *id, enum control_tray what, bool force, GError **error)
{
    if (what != CONTROL_TRAY_OPEN || force)
        return true;
    g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 0, "Device '%s' is locked", id);
    return false;
}

static bool fake_node(void *opaque, unsigned index, struct control_drive *out)
{
    *out = (struct control_drive){
        .id = "n1", .node_name = "n1", .node = true, .file = "a.iso", .format = "file", .cache = "writeback"};
    return index == 0;
}

static bool fake_blockdev_add(void *opaque, const char *words, GError **error)
{
    struct bench *b = opaque;
    g_strlcpy(b->words, words, sizeof b->words);
    return true;
}

static bool fake_blockdev_del(void *opaque, const char *name, GError **error)
{
    if (g_str_equal(name, "n1"))
        return true;
    g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 0, "Node %s is in use", name);
    return false;
}

static bool fake_insert(void *opaque, const char *id, const char *node, GError **error)
{
    if (g_str_equal(id, "ide1-cd0") && g_str_equal(node, "n1"))
        return true;
    g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 1, "Device '%s' not found", id);
    return false;
}

static bool fake_resize(void *opaque, const char *id, uint64_t size, GError **error)
{
    if (size == UINT64_C(3) << 30)
        return true;
    g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 0, "size %" G_GUINT64_FORMAT, size);
    return false;
}

static bool fake_commit(void *opaque, const char *id, GError **error)
{
    if (!id)
        return true;
    g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 0, "commit %s", id);
    return false;
}

static bool fake_limit(void *opaque, const char *id, const struct block_limits *limits, const char *group,
                       GError **error)
{
    if (!block_limits_check(limits, error))
        return false;
    if (limits->rate[BLOCK_BPS] == 1000 && limits->rate[BLOCK_IOPS_WRITE] == 7 &&
        (!group || (limits->burst[BLOCK_BPS] == 5000 && limits->seconds[BLOCK_BPS] == 2)))
        return true;
    g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 0, "limits of %s", id);
    return false;
}

static bool fake_set_link(void *opaque, const char *name, bool up, GError **error)
{
    struct bench *b = opaque;
    if (!g_str_equal(name, "net0")) {
        g_set_error(error, g_quark_from_static_string("g-io-error-quark"), 1, "Device '%s' not found", name);
        return false;
    }
    b->link = up;
    return true;
}

static void fake_describe(void *opaque, enum control_info what, GString *out)
{
    g_string_append_printf(out, "description %u\n", what);
}

static void fake_counters(void *opaque,
                          void (*visit)(void *visitor, const char *group, const char *name, uint64_t value),
                          void *visitor)
{
    visit(visitor, "cpu", "instructions", UINT64_C(5000000000));
    visit(visitor, "jit", "links-made", 7);
    visit(visitor, "jit", "flushes", UINT64_MAX);
}

static size_t fake_read_memory(void *opaque, bool physical, uint64_t addr, void *buf, size_t len)
{
    size_t done = 0;
    for (; done < len && addr + done < 0x1000; done++)
        ((uint8_t *)buf)[done] = (uint8_t)(addr + done + (physical ? 1 : 0));
    return done;
}

static uint32_t fake_read_port(void *opaque, uint16_t port, unsigned size)
{
    return port;
}

static void fake_write_port(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct bench *b = opaque;
    g_snprintf(b->keys, sizeof b->keys, "out %x %x %u", port, value, size);
}

static void fake_key(void *opaque, unsigned code, bool down)
{
    struct bench *b = opaque;
    size_t len = strlen(b->keys);
    g_snprintf(b->keys + len, sizeof b->keys - len, "%c%x ", down ? '+' : '-', code);
}

static bool fake_keys(void *opaque, const unsigned *codes, unsigned count, unsigned hold_ms, GError **error)
{
    struct bench *b = opaque;
    for (unsigned i = 0; i < count; i++)
        fake_key(b, codes[i], true);
    while (count-- > 0)
        fake_key(b, codes[count], false);
    b->hold_ms = hold_ms;
    return true;
}

/* "e1000,id=taken" and the like are refused; the words are kept. */
static bool fake_plug(void *opaque, const char *words, GError **error)
{
    struct bench *b = opaque;
    g_strlcpy(b->words, words, sizeof b->words);
    if (strstr(words, "taken"))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "Duplicate device ID 'taken'");
    else if (strstr(words, "nope"))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Device '%s' not found", words);
    return !strstr(words, "taken") && !strstr(words, "nope");
}

/* No file is made: nothing is written to where a random test says. */
static int fake_create(void *opaque, const char *path, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Could not open '%s': %s", path, g_strerror(errno));
    return fd;
}

static bool fake_register(void *opaque, const char *name, uint32_t *value)
{
    *value = 0x10;
    return g_str_equal(name, "eip");
}

static void fake_mouse(void *opaque, int dx, int dy, int dz, int buttons)
{
    struct bench *b = opaque;
    g_snprintf(b->keys, sizeof b->keys, "mouse %d %d %d %d", dx, dy, dz, buttons);
}

static bool fake_screendump(void *opaque, const char *path, const char *format, GError **error)
{
    struct bench *b = opaque;
    if (g_str_has_prefix(path, "/nowhere")) {
        g_set_error(error, G_FILE_ERROR, 0, "writing a picture of the screen to %s: no", path);
        return false;
    }
    g_snprintf(b->keys, sizeof b->keys, "dump %s %s", path, format ? format : "-");
    return true;
}

static bool fake_vnc_client(void *opaque, unsigned server, unsigned index, struct control_vnc_client *out)
{
    *out = (struct control_vnc_client){.family = "ipv4", .host = "127.0.0.1", .service = "40001"};
    return server == 0 && index == 0;
}

static bool fake_vnc(void *opaque, unsigned index, struct control_vnc *out)
{
    *out = (struct control_vnc){
        .password = true, .family = "ipv4", .host = "127.0.0.1", .service = "5901", .viewers = 2};
    return index == 0;
}

static bool fake_vnc_password(void *opaque, const char *password, GError **error)
{
    struct bench *b = opaque;
    g_snprintf(b->keys, sizeof b->keys, "password %s", password);
    return true;
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

static bool fake_change_port(void *opaque, const char *id, const char *words, GError **error)
{
    struct bench *b = opaque;
    g_snprintf(b->keys, sizeof b->keys, "change %s %s", id, words);
    return true;
}

static bool fake_port_word(void *opaque, const char *word, GError **error)
{
    struct bench *b = opaque;
    g_snprintf(b->keys, sizeof b->keys, "word %s", word);
    return true;
}

static bool fake_expire(void *opaque, int64_t when, GError **error)
{
    struct bench *b = opaque;
    g_snprintf(b->keys, sizeof b->keys, "expire %d", (int)MIN(when, 99));
    return true;
}

static bool fake_announce(void *opaque, const struct control_announce *how, GError **error)
{
    g_assert_true(how->id && how->rounds <= 1000 && how->initial >= 0 && how->max >= 0 && how->step >= 0);
    return true;
}

static bool fake_reopen(void *opaque, const char *const *names, const char *const *words, GError **error)
{
    for (; *names; names++, words++)
        g_assert_nonnull(*words);
    g_assert_null(*words);
    return true;
}

static void setup(struct bench *b, gconstpointer data)
{
    GError *error = NULL;
    b->clock = clock_new();
    b->loop = loop_new(b->clock, NULL);
    b->status = CONTROL_RUNNING;
    b->link = true;
    b->machine = (struct control_machine){.opaque = b,
                                          .name = "r1",
                                          .cpu = "c",
                                          .chardev_change = fake_change_port,
                                          .chardev_break = fake_port_word,
                                          .gdbserver = fake_port_word,
                                          .boot_set = fake_port_word,
                                          .announce = fake_announce,
                                          .blockdev_reopen = fake_reopen,
                                          .display = "none",
                                          .host_address = no_address,
                                          .vnc_expire = fake_expire,
                                          .option_name = no_name,
                                          .option_key = no_key,
                                          .device_type = no_name,
                                          .device_key = no_key,
                                          .cpu_model = no_name,
                                          .status = fake_status,
                                          .stop = fake_stop,
                                          .cont = fake_cont,
                                          .quit = fake_quit,
                                          .reset = fake_reset,
                                          .power_button = fake_button,
                                          .nmi = fake_nmi,
                                          .chardev = fake_chardev,
                                          .nic = fake_nic,
                                          .rx_filter = fake_rx_filter,
                                          .capture = fake_capture,
                                          .set_link = fake_set_link,
                                          .drive = fake_drive,
                                          .eject = fake_eject,
                                          .change = fake_change,
                                          .tray = fake_tray,
                                          .node = fake_node,
                                          .blockdev_add = fake_blockdev_add,
                                          .blockdev_del = fake_blockdev_del,
                                          .insert = fake_insert,
                                          .resize = fake_resize,
                                          .commit = fake_commit,
                                          .limit = fake_limit,
                                          .port = fake_port,
                                          .describe = fake_describe,
                                          .counters = fake_counters,
                                          .read_memory = fake_read_memory,
                                          .read_port = fake_read_port,
                                          .write_port = fake_write_port,
                                          .key = fake_key,
                                          .keys = fake_keys,
                                          .create = fake_create,
                                          .chardev_add = fake_plug,
                                          .chardev_remove = fake_plug,
                                          .netdev_add = fake_plug,
                                          .netdev_del = fake_plug,
                                          .device_add = fake_plug,
                                          .device_del = fake_plug,
                                          .object_add = fake_plug,
                                          .object_del = fake_plug,
                                          .mouse = fake_mouse,
                                          .screendump = fake_screendump,
                                          .vnc = fake_vnc,
                                          .vnc_client = fake_vnc_client,
                                          .vnc_password = fake_vnc_password,
                                          .register_value = fake_register};
    b->ring = char_open("r", "ringbuf", b->loop, NULL);
    char_write(b->ring, (const uint8_t *)"one \\ two\x01 thr\xc3\xa9\xff", 16);
    b->control = control_new(&b->machine, b->loop);
    b->folder = g_dir_make_tmp("netlab-qmp-XXXXXX", NULL);
    b->path = g_build_filename(b->folder, "qmp", NULL);
    g_assert_true(control_listen(b->control, b->path, false, false, &error));
    g_assert_no_error(error);
}

static void teardown(struct bench *b, gconstpointer data)
{
    control_free(b->control);
    char_free(b->ring);
    loop_free(b->loop);
    clock_free(b->clock);
    g_assert_cmpint(g_rmdir(b->folder), ==, 0); /* the socket is gone */
    g_free(b->folder);
    g_free(b->path);
}
