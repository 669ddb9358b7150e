/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * pcapng (draft-ietf-opsawg-pcapng): reading the stream of one NIC as the emulator writes it, and writing
 * the one capture of several NICs. The reader takes bytes as they come and trusts none of them: the process
 * they come from runs a guest.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PCAPNG_FRAME_MOST = 262144 };

struct pcapng_frame {
    uint64_t time; /* ns since 1970 */
    uint32_t length, captured;
    bool outbound; /* sent by the guest */
    uint64_t lost; /* frames before this one that found no room */
    const uint8_t *data;
};

struct pcapng_reader;
struct pcapng_reader *pcapng_reader_new(void);
void pcapng_reader_free(struct pcapng_reader *reader);
/* Frames go to `take`, in their order; its data is valid during the call. False: this is no such stream, and
 * nothing more may be given. */
typedef void pcapng_take(void *opaque, const struct pcapng_frame *frame);
bool pcapng_reader_feed(struct pcapng_reader *reader, const uint8_t *data, size_t length, pcapng_take *take,
                        void *opaque, GError **error);

/* These append whole blocks. Strings longer than 65535 bytes are cut. */
void pcapng_add_section(GByteArray *out, const char *program, const char *comment);
struct pcapng_interface {
    const char *name, *description, *comment, *filter; /* NULL: none */
    uint32_t most;                                     /* bytes kept of each frame */
};
void pcapng_add_interface(GByteArray *out, const struct pcapng_interface *interface);
void pcapng_add_frame(GByteArray *out, uint32_t interface, const struct pcapng_frame *frame);
struct pcapng_statistics {
    uint64_t began, ended, received, accepted, lost; /* ns since 1970; frames */
};
void pcapng_add_statistics(GByteArray *out, uint32_t interface, const struct pcapng_statistics *statistics);
