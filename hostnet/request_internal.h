/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Requests to rtnetlink, for the files of hostnet that use libnl.
 *
 * A batch is one or more requests that go out in ONE sendmsg(). The kernel works off the whole datagram
 * within that system call, each request under its own lock, and answers each with an ACK; a failed one does
 * not stop those behind it. So later requests of a batch must be harmless when the first fails: they go by a
 * link index that was unused before.
 */
#pragma once

#include "hostnet/hostnet_internal.h"

#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

enum { HOSTNET_BATCH_LENGTH = 12 }; /* a veth pair: its birth, and five requests for each end */

struct hostnet_batch {
    unsigned count;
    struct {
        struct nl_msg *message;
        int tolerated[2];  /* errnos (positive) that are as good as success; 0: none */
        int error_number;  /* answer: 0 or positive errno */
        char *kernel_text; /* answer: extended ACK, or NULL */
        bool is_answered;
    } requests[HOSTNET_BATCH_LENGTH];
};

void hostnet_batch_clear(struct hostnet_batch *batch);
#define hostnet_auto_batch __attribute__((cleanup(hostnet_batch_clear))) struct hostnet_batch

/* Adds a request of `type` with NLM_F_REQUEST | NLM_F_ACK | `flags`, beginning with `header` of `length`
 * bytes (struct ifinfomsg, …). The message is the batch's; attributes are appended to it with nla_put…(). */
struct nl_msg *hostnet_batch_add(struct hostnet_batch *batch, int type, int flags, const void *header,
                                 size_t length);
/* The last added one may fail with this errno. At most two. */
void hostnet_batch_tolerate(struct hostnet_batch *batch, int error_number);

/* Sends, and collects all answers. Returns the number of the first request that failed (from 0) with the
 * errno in its row, batch->count when all succeeded, or -1 with `error` when the socket itself failed (then
 * nothing is known of what was done). */
int hostnet_batch_send(struct hostnet *net, struct hostnet_batch *batch, GError **error);

/* A batch of which any failure is "WHAT: reason". `hint` as in hostnet_error_set(). */
bool hostnet_batch_do(struct hostnet *net, struct hostnet_batch *batch, GError **error, const char *hint,
                      const char *what, ...) G_GNUC_PRINTF(5, 6);

/* Called for each message of an answer. */
typedef void (*hostnet_answer_function)(struct nlmsghdr *message, void *opaque);
/* Called before a dump is taken anew because something changed meanwhile: forget what was collected. */
typedef void (*hostnet_restart_function)(void *opaque);

/* A GET with NLM_F_DUMP. `what` as in "listing links". */
bool hostnet_request_dump(struct hostnet *net, int type, const void *header, size_t length,
                          hostnet_answer_function answer, hostnet_restart_function restart, void *opaque,
                          const char *what, GError **error);

/* A GET for one object; `message` (taken over) is complete but for number and port. Returns 0, a positive
 * errno of the kernel, or -1 with `error`. */
int hostnet_request_get(struct hostnet *net, struct nl_msg *message, hostnet_answer_function answer,
                        void *opaque, GError **error);

/* A new message for hostnet_request_get(). Aborts like all of GLib when memory is out. */
struct nl_msg *hostnet_message_new(int type, int flags, const void *header, size_t length);

/* Attribute writers that cannot fail: messages are made large enough for what hostnet puts into them, and a
 * mistake there is a programming error. */
void hostnet_put(struct nl_msg *message, int attribute, const void *data, size_t length);
void hostnet_put_u8(struct nl_msg *message, int attribute, uint8_t value);
void hostnet_put_u16(struct nl_msg *message, int attribute, uint16_t value);
void hostnet_put_u32(struct nl_msg *message, int attribute, uint32_t value);
void hostnet_put_string(struct nl_msg *message, int attribute, const char *text);
struct nlattr *hostnet_nest_begin(struct nl_msg *message, int attribute);
void hostnet_nest_end(struct nl_msg *message, struct nlattr *nest);
