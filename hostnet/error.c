/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Wording of errors: one function turns an errno of the kernel, its extended ACK text and what was being done
 * into a GError that a person can act on. Pure; any thread.
 *
 * The kernel's words are not translated (strerrordesc_np), so that messages can be searched for.
 */
#include "hostnet/hostnet_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

G_DEFINE_QUARK(hostnet - error - quark, hostnet_error)

static const char *const code_names[] = {
    [HOSTNET_ERROR_PERMISSION] = "permission",   [HOSTNET_ERROR_BUSY] = "busy",
    [HOSTNET_ERROR_EXISTS] = "exists",           [HOSTNET_ERROR_NOT_FOUND] = "not-found",
    [HOSTNET_ERROR_UNSUPPORTED] = "unsupported", [HOSTNET_ERROR_INVALID] = "invalid",
    [HOSTNET_ERROR_NO_TUN] = "no-tun",           [HOSTNET_ERROR_LIMIT] = "limit",
    [HOSTNET_ERROR_NOT_OURS] = "not-ours",       [HOSTNET_ERROR_KERNEL] = "kernel",
};
static_assert(G_N_ELEMENTS(code_names) == HOSTNET_ERROR_COUNT, "every code has a name");

/* What to do next when the caller knows nothing better. */
static const char *const code_hints[] = {
    [HOSTNET_ERROR_PERMISSION] = "needs CAP_NET_ADMIN; run as root or use --rootless",
    [HOSTNET_ERROR_BUSY] = "somebody else uses it; try again when they are done",
    [HOSTNET_ERROR_EXISTS] = "remove the one that is there, or choose another name",
    [HOSTNET_ERROR_NOT_FOUND] = "it is gone; `ip -d link` shows what is there",
    [HOSTNET_ERROR_UNSUPPORTED] = "this kernel cannot do that; use one that was built with it",
    [HOSTNET_ERROR_INVALID] = "correct the value",
    [HOSTNET_ERROR_NO_TUN] = "load the driver with `modprobe tun`, or give the container /dev/net/tun",
    [HOSTNET_ERROR_LIMIT] = "free memory, file descriptors or namespaces, or raise the limit, and try again",
    [HOSTNET_ERROR_NOT_OURS] = "look at it with `ip -d link` and remove it by hand if it is not wanted",
    [HOSTNET_ERROR_KERNEL] = "the kernel's log (`dmesg`) may say more",
};
static_assert(G_N_ELEMENTS(code_hints) == HOSTNET_ERROR_COUNT, "every code has a hint");

const char *hostnet_error_name(enum hostnet_error code)
{
    return (unsigned)code < HOSTNET_ERROR_COUNT ? code_names[code] : "unknown";
}

enum hostnet_error hostnet_error_from_errno(int error_number)
{
    switch (error_number) {
    case EPERM:
    case EACCES:
        return HOSTNET_ERROR_PERMISSION;
    case EBUSY:
    case ETXTBSY:
        return HOSTNET_ERROR_BUSY;
    case EEXIST:
    case EADDRINUSE:
        return HOSTNET_ERROR_EXISTS;
    case ENODEV:
    case ENOENT:
    case ESRCH:
    case ENXIO:
        return HOSTNET_ERROR_NOT_FOUND;
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOSYS:
        return HOSTNET_ERROR_UNSUPPORTED;
    case EINVAL:
    case ERANGE:
    case ENAMETOOLONG:
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EMSGSIZE:
    case ELOOP:
        return HOSTNET_ERROR_INVALID;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EUSERS:
    case EAGAIN:
        return HOSTNET_ERROR_LIMIT;
    default:
        return HOSTNET_ERROR_KERNEL;
    }
}

/* "operation not permitted": as in the middle of a sentence. */
static void append_reason(GString *text, int error_number)
{
    const char *reason = strerrordesc_np(error_number);
    if (!reason) {
        g_string_append_printf(text, "error %d", error_number);
        return;
    }
    /* "RFS specific error" keeps its capitals, "No such device" loses one. */
    bool is_acronym = g_ascii_isupper(reason[0]) && g_ascii_isupper(reason[1]);
    g_string_append_c(text, is_acronym ? reason[0] : g_ascii_tolower(reason[0]));
    g_string_append(text, reason + 1);
}

static void set_worded(GError **error, enum hostnet_error code, int error_number, const char *kernel_text,
                       const char *hint, const char *what, va_list arguments)
{
    if (!error)
        return;
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_vprintf(text, what, arguments);
    g_string_append(text, ": ");
    append_reason(text, error_number);
    if (!hint)
        hint = code_hints[code];
    g_string_append(text, " (");
    if (kernel_text && *kernel_text)
        g_string_append_printf(text, "the kernel says: %s; ", kernel_text);
    g_string_append_printf(text, "%s)", hint);
    g_set_error_literal(error, HOSTNET_ERROR, (int)code, text->str);
}

bool hostnet_error_set(GError **error, int error_number, const char *kernel_text, const char *hint,
                       const char *what, ...)
{
    va_list arguments;
    va_start(arguments, what);
    set_worded(error, hostnet_error_from_errno(error_number), error_number, kernel_text, hint, what,
               arguments);
    va_end(arguments);
    return false;
}

bool hostnet_error_set_code(GError **error, enum hostnet_error code, int error_number,
                            const char *kernel_text, const char *hint, const char *what, ...)
{
    va_list arguments;
    va_start(arguments, what);
    set_worded(error, code, error_number, kernel_text, hint, what, arguments);
    va_end(arguments);
    return false;
}

bool hostnet_error_say(GError **error, enum hostnet_error code, const char *format, ...)
{
    if (!error)
        return false;
    va_list arguments;
    va_start(arguments, format);
    *error = g_error_new_valist(HOSTNET_ERROR, (int)code, format, arguments);
    va_end(arguments);
    return false;
}

char *hostnet_describe_link(const char *mark, const char *name)
{
    g_autofree char *human = NULL;
    if (mark && hostnet_mark_parse(mark, NULL, &human) && g_strcmp0(human, name) != 0)
        return g_strdup_printf("%s (%s)", human, name);
    return g_strdup(name);
}
