/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Walking stored dumps, for the files of hostnet that use libmnl.
 */
#pragma once

#include "hostnet/dump.h"

#include <libmnl/libmnl.h>

/* The messages of a dump, one after the other. Start with *offset 0; NULL at the end. Never runs past the
 * bytes, whatever they are: dumps come back from a store. */
const struct nlmsghdr *hostnet_dump_next(GBytes *dump, size_t *offset);

/* Attributes by number: rows[0…highest], NULL where there is none. False when the message is shorter than
 * `header` bytes. Higher numbers are left out. */
bool hostnet_dump_parse(const struct nlmsghdr *message, size_t header, const struct nlattr **rows,
                        unsigned highest);
