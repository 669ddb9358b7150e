/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Capturing at the NICs of running machines, several at once, through their control sockets: no privilege is
 * needed, and no interface of the host is opened. Frames are stamped by the machines, by the host's clock,
 * and come here merged in the order of their stamps, but for those of a machine that is late by more than
 * `wait_ms`.
 */
#pragma once

#include "netlab/pcapng.h"

#include <glib.h>
#include <stdbool.h>

struct capture_nic {
    const char *node, *directory; /* the node's */
    unsigned index;               /* of the NIC in it */
    /* Counted while it runs: */
    uint64_t received, accepted, lost;
    bool has_ended; /* the machine has, or its stream was wrong */
};

struct capture_spec {
    struct capture_nic *nics;
    unsigned nic_count;
    const char *filter; /* NULL: all */
    unsigned most;      /* bytes of each frame; 0: all */
    unsigned wait_ms;   /* how long a frame waits for earlier ones of other machines */
    guint64 count;      /* frames; 0: no end */
    int cancel_fd;      /* readable: end; -1: none */
    int output;         /* hangs up (POLLERR): end; -1: none */
    /* A frame of nics[nic]; false: end. */
    bool (*take)(void *opaque, unsigned nic, const struct pcapng_frame *frame);
    /* After those that could be taken at once; false: end. May be NULL. */
    bool (*flush)(void *opaque);
    void (*note)(void *opaque, const char *text); /* a NIC's stream has ended, and why */
    void *opaque;
};

/* Until the count, the cancelling, or the end of all the machines. */
bool capture_run(const struct capture_spec *spec, GError **error);
