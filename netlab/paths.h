/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Where things are: the state directory (store, locks), the runtime directory (one folder a lab: sockets,
 * logs) and the names made from those of people: interface names, folders of nodes.
 *
 * For a user: $XDG_STATE_HOME/netlab (~/.local/state/netlab) and $XDG_RUNTIME_DIR/netlab (else <state>/run).
 * For root: /var/lib/netlab and /run/netlab. NETLAB_STATE_DIR and NETLAB_RUNTIME_DIR override.
 *
 *   <runtime>/LAB/supervisor.sock  supervisor.log
 *   <runtime>/LAB/NODE/console.sock agent.sock qmp.sock console.log machine.log config
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

char *paths_state_directory(void);
char *paths_runtime_directory(void);

/* <runtime>/LAB and <runtime>/LAB/NODE. */
char *paths_lab_directory(const char *runtime, const char *lab);
char *paths_node_directory(const char *runtime, const char *lab, const char *node);

/* An interface name of 13 characters that depends on everything given: "nlb" or "nlt" and 10 letters or
 * digits (50 bits of SHA-256), so long names with equal beginnings do not meet. `kind` is 'b' (bridge) or 't'
 * (TAP). */
char *names_interface(char kind, unsigned uid, const char *lab, const char *key);
/* The link group of a lab: never 0, and by the same hash no one else's. */
uint32_t names_group(unsigned uid, const char *lab);
/* The human name as an alternative interface name: "lan", "h1.eth0", with "LAB." before it unless
 * `own_namespace`. */
char *names_alternative(const char *lab, const char *human, bool own_namespace);

/* Connects to the UNIX socket at `path`, of any length; a symbolic link is refused (ELOOP), anything else but
 * a socket too (ENOTSOCK). Returns a close-on-exec blocking fd, or -1 with errno. */
int paths_connect(const char *path);
/* Listens there (mode 0600), replacing a file that is there. -1 with errno. */
int paths_listen(const char *path);

/* dnsmasq: NETLAB_DNSMASQ, else where packages put it. Owned by the caller; NULL with what to install. */
char *paths_dnsmasq(GError **error);
/* The program that is running, and netlab-emu: $NETLAB_EMU, else beside the former, else in PATH. */
char *paths_self(void);
char *paths_emulator(GError **error);
