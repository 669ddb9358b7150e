/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Which of our images stands for another program's: by a word in the image's name, as people know them. The
 * table in docs/import.md is this one.
 */
#include "netlab/import_internal.h"

#include <string.h>

static const struct {
    const char *word; /* in the lower-case name */
    const char *image;
    enum import_level level;
    const char *how; /* NULL: nothing to say but the image */
} images[] = {
    {"frr", "router", IMPORT_MAPPED, NULL},
    {"quagga", "router", IMPORT_APPROXIMATED, "FRR reads Quagga's configuration"},
    {"bird", "router", IMPORT_MAPPED, NULL},
    {"netkit", "host", IMPORT_APPROXIMATED, "programs that only Netkit's image has are not there"},
    {"multitool", "host", IMPORT_MAPPED, NULL},
    {"netshoot", "host", IMPORT_MAPPED, NULL},
    {"kathara/base", "host", IMPORT_MAPPED, NULL},
    {"kathara/", "host", IMPORT_LEFT, "its special programs are not in our images"},
    {"alpine", "host", IMPORT_MAPPED, NULL},
    {"debian", "host", IMPORT_MAPPED, NULL},
    {"ubuntu", "host", IMPORT_MAPPED, NULL},
    {"busybox", "host", IMPORT_MAPPED, NULL},
    {"nginx", "host", IMPORT_APPROXIMATED, "nginx is started by a command"},
    {"iperf", "host", IMPORT_MAPPED, NULL},
    {"python", "host", IMPORT_APPROXIMATED, "Debian's Python 3"},
    {"network-tools", "host", IMPORT_MAPPED, NULL},
    {"dnsmasq", "host", IMPORT_APPROXIMATED, "dnsmasq is started by a command"},
};

/* Programs of the image `host` that `router` has not. */
static const char *const only_host[] = {
    "iptables", "ip6tables", "iptables-restore", "ebtables", "arptables", "nginx",
    "dnsmasq",  "radvd",     "iperf3",           "wget",     "socat",     "python3",
    "ssh",      "brctl",     "conntrack",        "kdig",     "mtr",       NULL};
static const char *const only_router[] = {"vtysh", "birdc", NULL};

static const char *find_call(const struct import_node *node, const char *const *programs)
{
    const char *found = NULL;
    for (guint i = 0; i < node->run->len && !found; i++)
        found = import_find_call(node->run->pdata[i], programs);
    GHashTableIter iter;
    gpointer path, value;
    g_hash_table_iter_init(&iter, node->files);
    while (!found && g_hash_table_iter_next(&iter, &path, &value)) {
        const struct import_file *file = value;
        if (g_str_has_prefix(path, "/etc/lab/") && file->kind == 'F')
            found = import_find_call(file->data, programs);
    }
    return found;
}

void import_settle_image(struct import_lab *lab, struct import_node *node)
{
    const char *of_host = find_call(node, only_host), *of_router = find_call(node, only_router);
    bool is_router = g_str_equal(node->image, "router"), needs = node->needs_router || of_router;
    g_autofree char *what = g_strdup_printf("node %s: image", node->name);
    if (needs && !is_router) {
        import_note(lab, IMPORT_APPROXIMATED, node->mark, what, "router, for its routing daemons");
        node->image = "router";
    } else if (is_router && of_host && !needs) {
        import_note(lab, IMPORT_APPROXIMATED, node->mark, what,
                    "host, which has %s; it has no routing daemon", of_host);
        node->image = "host";
    }
    if (needs && of_host)
        import_note(lab, IMPORT_LEFT, node->mark, what,
                    "%s, which its commands call, is not in image router; make one that has it (netlab image "
                    "recipe router)",
                    of_host);
}

void import_choose_image(struct import_lab *lab, struct import_node *node, const char *image,
                         struct topology_mark mark)
{
    g_autofree char *what = g_strdup_printf("node %s: image %s", node->name, image);
    g_autofree char *folded = g_ascii_strdown(image, -1);
    for (size_t i = 0; i < G_N_ELEMENTS(images); i++) {
        if (!strstr(folded, images[i].word))
            continue;
        node->image = images[i].image;
        import_note(lab, images[i].level, mark, what, "image %s%s%s", images[i].image,
                    images[i].how ? "; " : "", images[i].how ? images[i].how : "");
        if (g_str_equal(images[i].word, "nginx"))
            import_run(lab, node, "nginx", mark, what);
        return;
    }
    node->image = "host";
    import_note(lab, IMPORT_LEFT, mark, what,
                "image host; the programs of that image are not there (netlab image build, image import)");
}
