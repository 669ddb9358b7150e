/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Owner marks, interface names and link identities as values, and the choice of an index before a link
 * exists. See identity.h for the theory. Values are pure; planning asks the kernel but changes nothing.
 *
 * Name rules: dev_valid_name() of the kernel, plus '%', which the kernel would take for a pattern.
 */
#include "hostnet/hostnet_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define MARK_PREFIX "netlab:"

enum { INDEX_LOWEST = 1 << 20, INDEX_TRIES = 64 };

static bool has_control_character(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            return true;
    return false;
}

char *hostnet_mark_format(const char *lab, const char *human, GError **error)
{
    if (!lab || !*lab || !human || !*human) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                          "an owner mark needs the lab's name and the object's name; neither may be empty");
        return NULL;
    }
    if (strchr(lab, ':')) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                          "the lab's name %s contains ':', which separates the parts of owner marks; choose "
                          "another name",
                          lab);
        return NULL;
    }
    g_autofree char *mark = g_strdup_printf(MARK_PREFIX "%s:%s", lab, human);
    if (!hostnet_mark_check(mark, error))
        return NULL;
    return g_steal_pointer(&mark);
}

bool hostnet_mark_check(const char *mark, GError **error)
{
    if (!mark || !hostnet_mark_parse(mark, NULL, NULL))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "\"%s\" is no owner mark; everything that is made needs one of the form "
                                 "netlab:LAB:NAME",
                                 mark ? mark : "");
    size_t length = strlen(mark);
    if (length > HOSTNET_MARK_MAX)
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "the owner mark %.40s… has %zu bytes, and the kernel keeps %d; use shorter names", mark, length,
            HOSTNET_MARK_MAX);
    if (!g_utf8_validate(mark, -1, NULL) || has_control_character(mark))
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "the owner mark of a link contains control characters or is not UTF-8; use plain "
            "names");
    return true;
}

bool hostnet_mark_parse(const char *mark, char **lab, char **human)
{
    if (!mark || !g_str_has_prefix(mark, MARK_PREFIX))
        return false;
    const char *lab_part = mark + strlen(MARK_PREFIX);
    const char *colon = strchr(lab_part, ':');
    if (!colon || colon == lab_part || !colon[1])
        return false;
    if (lab)
        *lab = g_strndup(lab_part, (size_t)(colon - lab_part));
    if (human)
        *human = g_strdup(colon + 1);
    return true;
}

/* What interface and alternative names have in common. */
static bool check_characters(const char *what, const char *name, size_t longest, GError **error)
{
    if (!name || !*name)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "%s may not be empty", what);
    size_t length = strlen(name);
    if (length > longest)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "%s %s has %zu characters, and the kernel takes %zu; use a shorter one",
                                 what, name, length, longest);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "%s may not be \"%s\"", what, name);
    for (const char *at = name; *at; at++)
        if (*at == '/' || *at == ':' || *at == '%' || g_ascii_isspace(*at) || (unsigned char)*at < 0x20 ||
            *at == 0x7f)
            return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                     "%s \"%s\" may not contain '/', ':', '%%', white space or control "
                                     "characters",
                                     what, name);
    return true;
}

bool hostnet_name_check(const char *name, GError **error)
{
    /* Where the kernel keeps each link's switches, these are those of all links and of links to come. */
    if (name && (strcmp(name, "all") == 0 || strcmp(name, "default") == 0))
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "the interface name may not be \"%s\", which is the kernel's word for settings of "
            "many; choose another",
            name);
    return check_characters("the interface name", name, HOSTNET_NAME_MAX, error);
}

bool hostnet_altname_check(const char *altname, GError **error)
{
    return check_characters("the alternative name", altname, HOSTNET_ALTNAME_MAX, error);
}

uint32_t hostnet_index_choose(struct hostnet *net, GError **error)
{
    for (unsigned try = 0; try < INDEX_TRIES; try++) {
        uint32_t value;
        /* Not g_random_int(): two processes forked from one would draw the same numbers. */
        if (getrandom(&value, sizeof value, 0) != sizeof value) {
            hostnet_error_set(error, errno, NULL, NULL, "choosing a link index");
            return 0;
        }
        uint32_t index = INDEX_LOWEST + value % ((uint32_t)INT32_MAX - INDEX_LOWEST);
        int exists = hostnet_index_exists(net, index, error);
        if (exists < 0)
            return 0;
        if (exists == 0)
            return index;
    }
    hostnet_error_say(error, HOSTNET_ERROR_LIMIT,
                      "no unused link index was found in %d tries; remove links and try again", INDEX_TRIES);
    return 0;
}

bool hostnet_identity_plan(struct hostnet *net, const char *name, const char *mark,
                           struct hostnet_link_identity *identity, GError **error)
{
    if (!hostnet_name_check(name, error) || !hostnet_mark_check(mark, error))
        return false;
    g_autoptr(GError) lookup = NULL;
    g_autoptr(hostnet_link) taken = hostnet_link_find(net, name, &lookup);
    if (taken)
        return hostnet_error_say(
            error, HOSTNET_ERROR_EXISTS,
            "the name %s is taken by link %u%s%s (choose another name, or remove that link)", name,
            taken->index, taken->mark ? ", marked " : "", taken->mark ? taken->mark : "");
    if (!g_error_matches(lookup, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&lookup));
        return false;
    }
    uint32_t index = hostnet_index_choose(net, error);
    if (!index)
        return false;
    *identity = (struct hostnet_link_identity){.index = index, .netns = net->netns_cookie};
    g_strlcpy(identity->name, name, sizeof identity->name);
    g_strlcpy(identity->mark, mark, sizeof identity->mark);
    g_strlcpy(identity->boot_id, net->boot_id, sizeof identity->boot_id);
    return true;
}

char *hostnet_identity_format(const struct hostnet_link_identity *identity)
{
    return g_strdup_printf("%s/%" G_GUINT64_FORMAT "/%u/%s/%s", identity->boot_id, identity->netns,
                           identity->index, identity->name, identity->mark);
}

bool hostnet_identity_parse(const char *text, struct hostnet_link_identity *identity, GError **error)
{
    /* The mark comes last and may contain '/'. */
    g_auto(GStrv) parts = g_strsplit(text, "/", 5);
    guint64 netns, index;
    if (g_strv_length(parts) != 5 || strlen(parts[0]) > HOSTNET_BOOT_ID_MAX || !*parts[0] ||
        !g_ascii_string_to_unsigned(parts[1], 10, 0, G_MAXUINT64, &netns, NULL) ||
        !g_ascii_string_to_unsigned(parts[2], 10, 1, G_MAXINT32, &index, NULL) ||
        !hostnet_name_check(parts[3], NULL) || (*parts[4] && !hostnet_mark_check(parts[4], NULL)))
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "\"%s\" is no link identity (BOOT/NAMESPACE/INDEX/NAME/MARK); the journal is "
            "damaged",
            text);
    *identity = (struct hostnet_link_identity){.index = (uint32_t)index, .netns = netns};
    g_strlcpy(identity->boot_id, parts[0], sizeof identity->boot_id);
    g_strlcpy(identity->name, parts[3], sizeof identity->name);
    g_strlcpy(identity->mark, parts[4], sizeof identity->mark);
    return true;
}
