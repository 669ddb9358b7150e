/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -object secret: a password that others name by its id (-vnc password-secret=), given as text or as a file,
 * which keeps it out of the list of processes.
 */
#include "emu/options_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SECRETS_MOST = 16, BYTES_MOST = 65536 };

struct option_secret {
    char *id;
    GBytes *bytes;
};

static const struct keyval_row rows[] = {
    {"qom-type", KEYVAL_STRING},
    {"id", KEYVAL_NAME, .help = "its name"},
    {"data", KEYVAL_STRING, .help = "the secret itself, which others see in the list of processes"},
    {"file", KEYVAL_PATH, .help = "the file that holds it"},
    {"format", KEYVAL_CHOICE, "raw|base64", "how it is written there (raw)"},
    {"keyid", KEYVAL_LATER, .help = "give the secret in a file only you can read"},
    {"iv", KEYVAL_LATER, .help = "give the secret in a file only you can read"},
};
const struct keyval_table option_secret_table = {"", rows, G_N_ELEMENTS(rows), "qom-type"};

static void secret_free(void *data)
{
    struct option_secret *secret = data;
    g_free(secret->id);
    g_bytes_unref(secret->bytes);
    g_free(secret);
}

/* Of a file as much as may be, and a byte: more is too much. */
static GBytes *read_file(const char *path, GError **error)
{
    g_autofree char *text = g_malloc(BYTES_MOST + 1);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, BYTES_MOST + 1, file) : 0;
    bool good = file && !ferror(file);
    int why = errno;
    if (file)
        fclose(file);
    if (good && len <= BYTES_MOST)
        return g_bytes_new(text, len);
    option_fail(error, "secret,file=%s: %s", path, good ? "more than 64 KiB" : g_strerror(why));
    return NULL;
}

/* Strict: nothing but the alphabet, padding and line ends. */
static GBytes *decode(GBytes *bytes)
{
    gsize len;
    const char *data = g_bytes_get_data(bytes, &len);
    g_autofree char *text = g_strndup(data ? data : "", len);
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n";
    if (strspn(text, alphabet) != len)
        return NULL;
    guchar *plain = g_base64_decode(text, &len);
    return g_bytes_new_take(plain, len);
}

static const struct option_secret *find(const struct options *o, const char *id)
{
    for (guint i = 0; o->secrets && i < o->secrets->len; i++)
        if (g_str_equal(((const struct option_secret *)o->secrets->pdata[i])->id, id))
            return o->secrets->pdata[i];
    return NULL;
}

bool option_secret(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_secret_table, arg, error);
    if (!kv || !keyval_require(kv, "id", error))
        return false;
    const char *id = keyval_string(kv, "id", NULL), *path = keyval_string(kv, "file", NULL),
               *data = keyval_string(kv, "data", NULL);
    if (find(o, id))
        return option_fail(error, "id=%s is taken by another -object", id);
    if (!path == !data)
        return option_fail(error, "secret: give one of data= and file=");
    if (!o->secrets)
        o->secrets = g_ptr_array_new_with_free_func(secret_free);
    if (o->secrets->len == SECRETS_MOST)
        return option_fail(error, "more than %d secrets", SECRETS_MOST);
    GBytes *bytes = path ? read_file(path, error) : g_bytes_new(data, strlen(data));
    if (bytes && g_str_equal(keyval_string(kv, "format", "raw"), "base64")) {
        GBytes *plain = decode(bytes);
        g_bytes_unref(bytes);
        bytes = plain;
        if (!plain)
            option_fail(error, "secret,id=%s: what there is, is not base64", id);
    }
    if (!bytes)
        return false;
    struct option_secret *secret = g_new0(struct option_secret, 1);
    *secret = (struct option_secret){.id = g_strdup(id), .bytes = bytes};
    g_ptr_array_add(o->secrets, secret);
    return true;
}

char *options_secret_text(const struct options *o, const char *id, const char *who, GError **error)
{
    const struct option_secret *secret = find(o, id);
    gsize len = 0;
    const char *data = secret ? g_bytes_get_data(secret->bytes, &len) : NULL;
    if (!secret)
        option_fail(error, "%s=%s: there is no -object secret with that id", who, id);
    else if (len && (memchr(data, 0, len) || !g_utf8_validate(data, (gssize)len, NULL)))
        option_fail(error, "%s=%s: the secret is no text", who, id);
    else
        return g_strndup(data ? data : "", len);
    return NULL;
}

void options_free_secrets(struct options *o)
{
    if (o->secrets)
        g_ptr_array_free(o->secrets, TRUE);
}
