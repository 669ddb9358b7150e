/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What guests ask libslirp's TFTP server for, looked at before it does. That server opens what a guest names
 * as it is, and waits: a named pipe would stop the machine until somebody opens its other end, a device may
 * do whatever opening it does. So a request for what is no regular file is made into one that the server
 * refuses.
 *
 * The name is resolved as the server does it: the folder, a slash, and what the guest says, links followed,
 * "../" refused by the server itself. What is missing is left to it, too. Looking opens nothing. Between the
 * look and the server's open() somebody who may write to the folder can still put a pipe where a file was.
 */
#pragma once

#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the server is, and its folder (NULL: there is none). */
struct tftp_server {
    const char *folder;
    struct in_addr host;
    struct in6_addr host6;
};

/* A frame of a guest, complete and no fragment, of `length` bytes; hostile. NULL: libslirp may have it as it
 * is. Else what it is to get instead, of the same length (g_free() it): the server answers it with an access
 * violation. */
uint8_t *tftp_refuse(const struct tftp_server *server, const uint8_t *frame, size_t length);

/* The file that DHCP tells guests to ask for is not one that would be refused; it need not be there (yet). */
bool tftp_check_file(const char *folder, const char *name, GError **error);
