/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * NetworkManager and systemd-networkd, when one of them runs: whether it has finished setting a NIC up before
 * netlab notes what the NIC has, and the request to set it up again after netlab could not give it back
 * everything (a lease that ended meanwhile).
 */
#pragma once

#include "hostnet/hostnet.h"

/* Does it run, and does it see to links of this namespace (that of process 1)? */
bool link_manager_runs(struct hostnet *host, const char *service);
/* Asks it to read its files again. False when it does not run, or could not be asked. */
bool link_manager_reload(struct hostnet *host, const char *service);

/* The service that is just setting `nic` up (an address may be there, and its routes to come), or NULL: a
 * static string. Asked as above; takes at most some seconds. */
const char *link_manager_at_work(struct hostnet *host, const char *nic);

/* True when one was asked. `notes` (may be NULL) gets a sentence (char *) about what was asked, or about why
 * that failed and what to do. Nobody is asked from another network namespace than that of process 1: there a
 * NIC of this name is another. Takes at most some seconds. */
bool link_manager_reapply(struct hostnet *host, const char *nic, GPtrArray *notes);
