/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * How link-making functions (bridge.c, tap.c, veth.c) share their work. libnl side.
 */
#pragma once

#include "hostnet/request_internal.h"

/* Of newer kernel headers than some distributions have. */
enum { HOSTNET_IFLA_PROP_LIST = 52, HOSTNET_IFLA_ALT_IFNAME = 53 };

/* Writes the kind's attributes into an open IFLA_INFO_DATA. */
typedef void (*hostnet_fill_function)(struct nl_msg *message, const void *opaque);

/* Makes a link of `kind` in one datagram: RTM_NEWLINK by index and name, then mark, altname, master, up.
 * What was made is removed again when a later request of the datagram is refused. `identity` is filled in on
 * success (and may be NULL). `keeps_mtu`: the kind changes its MTU with its ports' (bridges) unless it is set
 * once more after birth. */
bool hostnet_link_make(struct hostnet *net, const struct hostnet_link_spec *spec, const char *kind,
                       hostnet_fill_function fill, const void *opaque, bool keeps_mtu,
                       struct hostnet_link_identity *identity, GError **error);

/* The index to make a link under: the planned one, which must be free, or one that is chosen now. 0 on error.
 * (A datagram whose birth is refused must not find a link under the index; see request_internal.h.) */
uint32_t hostnet_link_take_index(struct hostnet *net, const struct hostnet_link_spec *spec, const char *kind,
                                 GError **error);

/* Writes name, MAC, MTU of a spec into a RTM_NEWLINK. */
void hostnet_link_put_birth(struct nl_msg *message, const struct hostnet_link_spec *spec);

/* Adds to `batch` what the kernel does not take at birth, by index: mark first, up last. With `with_birth`
 * MAC and MTU too (for links made by ioctl). */
void hostnet_link_add_rest(struct hostnet_batch *batch, uint32_t index, const struct hostnet_link_spec *spec,
                           bool with_birth);

/* The error of a refused making: says what kind, which name, and who has the name when it is taken. */
bool hostnet_link_make_error(struct hostnet *net, const struct hostnet_link_spec *spec, const char *kind,
                             int error_number, const char *kernel_text, GError **error);

/* Removes a link that was made a moment ago under an index of our choice, and never mind if that fails. */
void hostnet_link_unmake(struct hostnet *net, uint32_t index);

void hostnet_link_fill_identity(struct hostnet *net, const struct hostnet_link_spec *spec, uint32_t index,
                                struct hostnet_link_identity *identity);
