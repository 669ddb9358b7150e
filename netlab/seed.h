/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What cloud-init reads in a guest: a NoCloud seed, made of what a machine's payload says of its node.
 *
 * The seed is a CD labelled "cidata" with
 *
 *   meta-data        instance-id, local-hostname, public-keys
 *   network-config   version 2: NICs by their MACs, addresses, routes, name servers
 *   user-data        the person's own file, as it is; else an empty #cloud-config
 *   vendor-data      the password; a script that, once an instance, leaves a hook that runs `start` at each
 * start start            the topology's files, names of all nodes, loopback, forwarding and commands hosts
 * the names, when there are any
 *
 * Everything that is YAML is written as JSON, in which no text can be taken for anything else. All that
 * `start` does is looked up in the seed at each start of the machine, so that it is current on disks that are
 * kept; the instance, and with it what cloud-init does once, is a new one when user-data, keys, password or
 * network change. docs/images.md#cloud-images tells the rest.
 */
#pragma once

#include <json-glib/json-glib.h>
#include <stdbool.h>

#define SEED_FILE "seed.iso" /* in the machine's folder */

struct seed_input {
    const char *node;
    const char *config;     /* what our own start-up program would read (netlab/guest/config.c) */
    JsonObject *cloud_init; /* of the payload: "user" (base64), "keys", "password"; each may be missing */
    const guint8 *files;    /* topology_pack_files(), decoded; NULL: none */
    gsize files_size;
    const char *hosts; /* lines for /etc/hosts; NULL: none */
};

/* The CD. */
GBytes *seed_make(const struct seed_input *input, GError **error);

/* Its parts, for tests. Owned by the caller. */
char *seed_meta_data(const struct seed_input *input);
char *seed_network_config(const char *config);
char *seed_vendor_data(const struct seed_input *input);
char *seed_start(const struct seed_input *input);

/* JSON that is YAML as well, whatever the texts hold. */
char *seed_yaml(JsonNode *root);
