/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The whole machine as a stream (snapshot/stream.h), and back. The machine is stopped meanwhile: between two
 * instructions, with no request of a drive under way, and its NICs neither send nor take frames. Machine
 * thread only.
 *
 *   STREAM_MACHINE   what it is: memory, CPU model, firmware, devices, disks; the same to be loaded
 *   STREAM_DEVICE    each chip, the CPU, and "machine": the clock, whether it ran, trays (snapshot/state.h)
 *   STREAM_MEMORY    guest RAM and the graphics card's from offset 0 to the end, in order; runs of pages of
 *   STREAM_ZEROS     zeros without their bytes
 *
 * Times are guest time, whose clock is set before devices are loaded; the TSC and all timers hang on it. Not
 * in it: images of drives, back ends (connections of user networks are lost), what the monitor has set.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

struct saved_writer;
/* Ends what drives have under way and takes down the chips' state. `ran`: whether the machine is to run after
 * loading. Fails when it cannot be saved now, with the reason. */
struct saved_writer *saved_writer_new(struct machine *machine, bool ran, GError **error);
void saved_writer_free(struct saved_writer *writer); /* NULL is allowed */
/* Appends the next part, about 1 MiB at most; false: there was nothing more. */
bool saved_writer_next(struct saved_writer *writer, GByteArray *out);
/* Bytes of memory taken so far, of them zeros, and all there are. */
struct saved_progress {
    uint64_t done, zeros, total;
};
void saved_writer_progress(const struct saved_writer *writer, struct saved_progress *out);

/* CHECK: a stream is checked whole, and nothing changed. TRY: the chips load it as well, and take back what
 * they were; the machine is stopped, with no request under way. LOAD: it is loaded. */
enum saved_mode { SAVED_CHECK, SAVED_TRY, SAVED_LOAD };
struct saved_loader;
struct saved_loader *saved_loader_new(struct machine *machine, enum saved_mode mode);
void saved_loader_free(struct saved_loader *loader); /* NULL is allowed */
/* False: the stream does not fit this machine, or is damaged. The machine is as it was, unless parts of its
 * memory had come already (saved_loader_began): then it cannot go on. */
bool saved_loader_feed(struct saved_loader *loader, const void *data, size_t len, GError **error);
bool saved_loader_ended(const struct saved_loader *loader);
bool saved_loader_began(const struct saved_loader *loader);
/* The stream is over; `ran`: as it was saved. */
bool saved_loader_finish(struct saved_loader *loader, bool *ran, GError **error);
