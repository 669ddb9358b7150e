/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What all tests of hostnet share: nothing of the machine's own network is ever touched.
 *
 * ns_test_init() runs before any test: as root it leaves the machine's network namespace, otherwise it makes
 * a user namespace with a network namespace first. Each test then makes a namespace of its own on top
 * (ns_new) which goes with its handle. `--as-root` and `--as-user` say which of the two is wanted, and skip
 * with 77 and a reason when it is not to be had.
 */
#pragma once

#include "hostnet/bridge.h"
#include "hostnet/tap.h"

/* g_test_init(), then into the namespaces. Exits with 77 when they cannot be made. */
void ns_test_init(int *argc, char ***argv);

/* True when the test runs in a user namespace. */
bool ns_is_rootless(void);

/* A handle of a new, empty network namespace with its loopback up. */
struct hostnet *ns_new(void);

/* Shorthands that fail the test with the error's text. */
struct hostnet_link_identity ns_bridge(struct hostnet *net, const char *name, const char *mark);
struct hostnet_link_identity ns_tap(struct hostnet *net, const char *name, const char *mark, uint32_t master,
                                    bool persistent, int *fd);

/* The error is of this code and contains this text; it is freed. */
void ns_assert_error(GError **error, enum hostnet_error code, const char *text);

/* The snapshot of a namespace, once the kernel is done with what it does in its own time; fails the test when
 * it cannot be taken. */
char *ns_snapshot(struct hostnet *net);
/* Fails with the difference when the two are not equal. */
void ns_assert_same(const char *before, const char *after);

/* Runs `condition` until it is true or the deadline passed. */
#define ns_poll(seconds, condition)                                                                          \
    ({                                                                                                       \
        gint64 ns_deadline = g_get_monotonic_time() + (gint64)((seconds)*G_USEC_PER_SEC);                    \
        bool ns_result;                                                                                      \
        while (!(ns_result = (condition)) && g_get_monotonic_time() < ns_deadline)                           \
            g_usleep(1000);                                                                                  \
        ns_result;                                                                                           \
    })
