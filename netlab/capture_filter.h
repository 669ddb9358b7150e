/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* tcpdump's filter expressions (pcap-filter(7)), compiled by libpcap. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture_filter;
/* NULL with libpcap's complaint. */
struct capture_filter *capture_filter_new(const char *expression, GError **error);
void capture_filter_free(struct capture_filter *filter);
bool capture_filter_matches(const struct capture_filter *filter, const uint8_t *data, size_t captured,
                            size_t length);
