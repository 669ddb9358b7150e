/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The error domain of hostnet.
 *
 * Every message reads top down: what was being done to which object (human name and interface name), the
 * kernel's own reason (its extended ACK text when it gave one), and what to do next, e.g.
 *   creating bridge lan (nlb3f2a1): operation not permitted (needs CAP_NET_ADMIN; run as root or use
 * --rootless) The code is what a caller branches on; the text is what a person reads. Callers prefix their
 * own step with g_prefix_error(). Any thread.
 */
#pragma once

#include <glib.h>

#define HOSTNET_ERROR (hostnet_error_quark())

enum hostnet_error {
    HOSTNET_ERROR_PERMISSION,  /* a capability, file mode or policy is missing; the text names it */
    HOSTNET_ERROR_BUSY,        /* somebody else has it open or changes it now */
    HOSTNET_ERROR_EXISTS,      /* the name, index, address or route is taken */
    HOSTNET_ERROR_NOT_FOUND,   /* no such link, address, route, process, key */
    HOSTNET_ERROR_UNSUPPORTED, /* this kernel cannot do it */
    HOSTNET_ERROR_INVALID,  /* the caller's argument is wrong: name too long, bad prefix, MTU out of range */
    HOSTNET_ERROR_NO_TUN,   /* /dev/net/tun is missing or dead */
    HOSTNET_ERROR_LIMIT,    /* a limit of the system: file descriptors, namespaces, memory */
    HOSTNET_ERROR_NOT_OURS, /* identity or mark does not agree: refused, nothing was touched */
    HOSTNET_ERROR_KERNEL,   /* any other refusal of the kernel */
    HOSTNET_ERROR_COUNT
};

GQuark hostnet_error_quark(void);

/* The code's name in lower case ("permission", "not-ours"), for logs and tests. */
const char *hostnet_error_name(enum hostnet_error code);
