/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Requests to rtnetlink: batches in one datagram, dumps, single look-ups. See request_internal.h.
 *
 * libnl builds and reads the messages. The exchange itself is here and not in nl_recvmsgs(), for three
 * reasons: several requests in one sendmsg(), the kernel's extended ACK text for the error message, and errno
 * as the kernel gave it (libnl folds several into one). RFC 3549;
 * Documentation/userspace-api/netlink/intro.rst of the kernel.
 *
 * Thread: the one that uses the handle.
 */
#include "hostnet/request_internal.h"

#include <errno.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Of linux/netlink.h since Linux 4.12 and 4.20. */
#ifndef NLM_F_ACK_TLVS
#define NLM_F_ACK_TLVS 0x200
#endif

enum {
    MESSAGE_SIZE = 4096, /* the largest we build: a veth with two names, marks and addresses is under 1 KiB */
    RECEIVE_SIZE = 64 << 10, /* the kernel builds dumps in skbs of at most 32 KiB; links of 200 VFs in 64 */
    DUMP_TRIES = 20
};

/* ---- building ---- */

struct nl_msg *hostnet_message_new(int type, int flags, const void *header, size_t length)
{
    struct nl_msg *message = nlmsg_alloc_size(MESSAGE_SIZE);
    if (!message)
        g_error("hostnet: no memory for a netlink message");
    nlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags);
    if (nlmsg_append(message, (void *)header, length, NLMSG_ALIGNTO) < 0)
        g_error("hostnet: header of %zu bytes does not fit a netlink message", length);
    return message;
}

void hostnet_put(struct nl_msg *message, int attribute, const void *data, size_t length)
{
    if (nla_put(message, attribute, (int)length, data) < 0)
        g_error("hostnet: attribute %d of %zu bytes does not fit a netlink message", attribute, length);
}

void hostnet_put_u8(struct nl_msg *message, int attribute, uint8_t value)
{
    hostnet_put(message, attribute, &value, sizeof value);
}

void hostnet_put_u16(struct nl_msg *message, int attribute, uint16_t value)
{
    hostnet_put(message, attribute, &value, sizeof value);
}

void hostnet_put_u32(struct nl_msg *message, int attribute, uint32_t value)
{
    hostnet_put(message, attribute, &value, sizeof value);
}

void hostnet_put_string(struct nl_msg *message, int attribute, const char *text)
{
    hostnet_put(message, attribute, text, strlen(text) + 1);
}

struct nlattr *hostnet_nest_begin(struct nl_msg *message, int attribute)
{
    struct nlattr *nest = nla_nest_start(message, attribute);
    if (!nest)
        g_error("hostnet: attribute %d does not fit a netlink message", attribute);
    return nest;
}

void hostnet_nest_end(struct nl_msg *message, struct nlattr *nest)
{
    /* Unlike nla_nest_end() this keeps an empty nest, which is what a flag-like nest is meant to be. */
    nest->nla_len = (uint16_t)((char *)nlmsg_tail(nlmsg_hdr(message)) - (char *)nest);
}

void hostnet_batch_clear(struct hostnet_batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        nlmsg_free(batch->requests[i].message);
        g_free(batch->requests[i].kernel_text);
    }
    *batch = (struct hostnet_batch){};
}

struct nl_msg *hostnet_batch_add(struct hostnet_batch *batch, int type, int flags, const void *header,
                                 size_t length)
{
    g_assert(batch->count < HOSTNET_BATCH_LENGTH);
    struct nl_msg *message = hostnet_message_new(type, flags | NLM_F_ACK, header, length);
    batch->requests[batch->count++].message = message;
    return message;
}

void hostnet_batch_tolerate(struct hostnet_batch *batch, int error_number)
{
    int *tolerated = batch->requests[batch->count - 1].tolerated;
    tolerated[tolerated[0] ? 1 : 0] = error_number;
}

/* ---- the exchange ---- */

/* Receives one datagram into `buffer` of RECEIVE_SIZE. Bytes, or -1 with errno. */
static ssize_t receive(struct hostnet *net, char *buffer)
{
    int fd = nl_socket_get_fd(net->socket);
    struct sockaddr_nl from;
    struct iovec iov = {.iov_base = buffer, .iov_len = RECEIVE_SIZE};
    for (;;) {
        struct msghdr header = {
            .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
        ssize_t length = recvmsg(fd, &header, 0);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return -1;
        if (header.msg_namelen != sizeof from || from.nl_pid != 0)
            continue; /* not from the kernel: any process may write to a netlink port */
        if (header.msg_flags & MSG_TRUNC) {
            errno = EMSGSIZE;
            return -1;
        }
        return length;
    }
}

/* The kernel's words out of an error message, owned by the caller; NULL when it gave none. */
static char *extract_kernel_text(struct nlmsghdr *message)
{
    const struct nlmsgerr *answer = nlmsg_data(message);
    if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
        return NULL;
    size_t offset = sizeof *answer;
    if (!(message->nlmsg_flags & NLM_F_CAPPED))
        offset += NLMSG_ALIGN(answer->msg.nlmsg_len) - NLMSG_HDRLEN;
    size_t length = (size_t)nlmsg_datalen(message);
    if (offset >= length)
        return NULL;
    struct nlattr *attributes = (struct nlattr *)((char *)nlmsg_data(message) + offset);
    struct nlattr *text = nla_find(attributes, (int)(length - offset), NLMSGERR_ATTR_MSG);
    if (!text || nla_len(text) < 1)
        return NULL;
    return g_strndup(nla_data(text), (gsize)nla_len(text));
}

static uint32_t next_sequence(struct hostnet *net)
{
    /* 0 is what the kernel uses for notifications. */
    if (++net->sequence == 0)
        net->sequence = 1;
    return net->sequence;
}

/* The socket itself has failed: whatever its errno, nothing is known about what was asked for. */
static bool set_socket_error(GError **error, int reason, const char *what)
{
    enum hostnet_error code = hostnet_error_from_errno(reason);
    if (code == HOSTNET_ERROR_NOT_FOUND || code == HOSTNET_ERROR_EXISTS)
        code = HOSTNET_ERROR_KERNEL;
    return hostnet_error_set_code(error, code, reason, NULL, NULL, "%s", what);
}

static bool send_all(struct hostnet *net, struct iovec *iov, unsigned count, GError **error)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct msghdr header = {
        .msg_name = &kernel, .msg_namelen = sizeof kernel, .msg_iov = iov, .msg_iovlen = count};
    while (sendmsg(nl_socket_get_fd(net->socket), &header, 0) < 0)
        if (errno != EINTR)
            return set_socket_error(error, errno, "sending a request to the kernel");
    return true;
}

static void finish_message(struct hostnet *net, struct nl_msg *message, struct iovec *iov)
{
    struct nlmsghdr *header = nlmsg_hdr(message);
    header->nlmsg_seq = next_sequence(net);
    header->nlmsg_pid = nl_socket_get_local_port(net->socket);
    *iov = (struct iovec){.iov_base = header, .iov_len = NLMSG_ALIGN(header->nlmsg_len)};
}

int hostnet_batch_send(struct hostnet *net, struct hostnet_batch *batch, GError **error)
{
    if (!hostnet_own_socket(net, error))
        return -1;
    struct iovec iov[HOSTNET_BATCH_LENGTH];
    for (unsigned i = 0; i < batch->count; i++)
        finish_message(net, batch->requests[i].message, &iov[i]);
    if (!send_all(net, iov, batch->count, error))
        return -1;
    g_autofree char *buffer = g_malloc(RECEIVE_SIZE);
    unsigned answered = 0;
    while (answered < batch->count) {
        ssize_t received = receive(net, buffer);
        if (received < 0) {
            set_socket_error(error, errno, "receiving the kernel's answer");
            return -1;
        }
        int left = (int)received;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; nlmsg_ok(message, left);
             message = nlmsg_next(message, &left)) {
            if (message->nlmsg_type != NLMSG_ERROR || nlmsg_datalen(message) < (int)sizeof(struct nlmsgerr))
                continue;
            for (unsigned i = 0; i < batch->count; i++) {
                if (nlmsg_hdr(batch->requests[i].message)->nlmsg_seq != message->nlmsg_seq ||
                    batch->requests[i].is_answered)
                    continue;
                const struct nlmsgerr *answer = nlmsg_data(message);
                batch->requests[i].is_answered = true;
                batch->requests[i].error_number = -answer->error;
                if (answer->error)
                    batch->requests[i].kernel_text = extract_kernel_text(message);
                answered++;
            }
        }
    }
    for (unsigned i = 0; i < batch->count; i++) {
        int reason = batch->requests[i].error_number;
        const int *tolerated = batch->requests[i].tolerated;
        if (reason && reason != tolerated[0] && reason != tolerated[1])
            return (int)i;
    }
    return (int)batch->count;
}

bool hostnet_batch_do(struct hostnet *net, struct hostnet_batch *batch, GError **error, const char *hint,
                      const char *what, ...)
{
    int failed = hostnet_batch_send(net, batch, error);
    if (failed == (int)batch->count)
        return true;
    va_list arguments;
    va_start(arguments, what);
    g_autofree char *text = g_strdup_vprintf(what, arguments);
    va_end(arguments);
    if (failed < 0) {
        g_prefix_error(error, "%s: ", text);
        return false;
    }
    return hostnet_error_set(error, batch->requests[failed].error_number, batch->requests[failed].kernel_text,
                             hint, "%s", text);
}

/* ---- looking ---- */

enum dump_end { DUMP_DONE, DUMP_CHANGED, DUMP_FAILED };

static enum dump_end receive_dump(struct hostnet *net, uint32_t sequence, hostnet_answer_function answer,
                                  void *opaque, const char *what, GError **error)
{
    g_autofree char *buffer = g_malloc(RECEIVE_SIZE);
    bool has_changed = false;
    for (;;) {
        ssize_t received = receive(net, buffer);
        if (received < 0) {
            set_socket_error(error, errno, what);
            return DUMP_FAILED;
        }
        int left = (int)received;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; nlmsg_ok(message, left);
             message = nlmsg_next(message, &left)) {
            if (message->nlmsg_seq != sequence)
                continue; /* the rest of an earlier answer that nobody waited for */
            has_changed |= (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (message->nlmsg_type == NLMSG_DONE) {
                int reason = nlmsg_datalen(message) >= (int)sizeof(int) ? -*(int *)nlmsg_data(message) : 0;
                if (reason > 0) {
                    hostnet_error_set(error, reason, NULL, NULL, "%s", what);
                    return DUMP_FAILED;
                }
                return has_changed ? DUMP_CHANGED : DUMP_DONE;
            }
            if (message->nlmsg_type == NLMSG_ERROR) {
                const struct nlmsgerr *refusal = nlmsg_data(message);
                g_autofree char *kernel_text = extract_kernel_text(message);
                hostnet_error_set(error, -refusal->error, kernel_text, NULL, "%s", what);
                return DUMP_FAILED;
            }
            if (!has_changed)
                answer(message, opaque);
        }
    }
}

bool hostnet_request_dump(struct hostnet *net, int type, const void *header, size_t length,
                          hostnet_answer_function answer, hostnet_restart_function restart, void *opaque,
                          const char *what, GError **error)
{
    if (!hostnet_own_socket(net, error)) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    for (unsigned try = 0; try < DUMP_TRIES; try++) {
        struct nl_msg *message = hostnet_message_new(type, NLM_F_DUMP, header, length);
        struct iovec iov;
        finish_message(net, message, &iov);
        uint32_t sequence = nlmsg_hdr(message)->nlmsg_seq;
        bool sent = send_all(net, &iov, 1, error);
        nlmsg_free(message);
        if (!sent) {
            g_prefix_error(error, "%s: ", what);
            return false;
        }
        enum dump_end end = receive_dump(net, sequence, answer, opaque, what, error);
        if (end != DUMP_CHANGED)
            return end == DUMP_DONE;
        restart(opaque);
    }
    return hostnet_error_say(error, HOSTNET_ERROR_BUSY,
                             "%s: the namespace kept changing through %d tries; try again when it is quieter",
                             what, DUMP_TRIES);
}

int hostnet_request_get(struct hostnet *net, struct nl_msg *message, hostnet_answer_function answer,
                        void *opaque, GError **error)
{
    if (!hostnet_own_socket(net, error)) {
        nlmsg_free(message);
        return -1;
    }
    /* With an ACK asked for, the end of the answer is known whether or not an object comes. */
    nlmsg_hdr(message)->nlmsg_flags |= NLM_F_ACK;
    struct iovec iov;
    finish_message(net, message, &iov);
    uint32_t sequence = nlmsg_hdr(message)->nlmsg_seq;
    bool sent = send_all(net, &iov, 1, error);
    nlmsg_free(message);
    if (!sent)
        return -1;
    g_autofree char *buffer = g_malloc(RECEIVE_SIZE);
    for (;;) {
        ssize_t received = receive(net, buffer);
        if (received < 0) {
            set_socket_error(error, errno, "receiving the kernel's answer");
            return -1;
        }
        int left = (int)received;
        for (struct nlmsghdr *part = (struct nlmsghdr *)buffer; nlmsg_ok(part, left);
             part = nlmsg_next(part, &left)) {
            if (part->nlmsg_seq != sequence)
                continue;
            if (part->nlmsg_type == NLMSG_ERROR)
                return -((const struct nlmsgerr *)nlmsg_data(part))->error;
            answer(part, opaque);
        }
    }
}
