/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A topology: what the person wrote, complete and without contradiction.
 *
 * Two passes. topology_parse.c reads YAML into these structures and remembers where each value stood (struct
 * topology_mark); it knows keys and types, nothing of meaning. topology_check.c then gives every open
 * question its one answer (NIC names, MACs, addresses, hostnames, kernel files) and refuses what contradicts
 * itself. Both complain into a struct topology_report, which collects all mistakes of a file, so that they
 * can be fixed in one go. After a topology has passed topology_check() nobody needs to ask again whether an
 * address or a name is sane.
 *
 * The same file always gives the same topology: automatic values depend on the file's text alone, so a
 * topology can be compared with the one that is up. Grammar: docs/topology.md and topology_schema.json.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where something stood in the file; both 1 at the file's first character, line 0: not from the file. */
struct topology_mark {
    unsigned line, column;
};

/* All complaints about one file. */
struct topology_report {
    char *file;            /* as messages show it */
    char **lines;          /* the source, for showing the place */
    GPtrArray *complaints; /* char *: "file:line:column: what is wrong; suggestion\n  source\n  ^" */
    bool show_source;      /* add the source line and a caret */
};

struct topology_report *topology_report_new(const char *file, const char *text);
void topology_report_free(struct topology_report *report);
/* Adds "FILE:LINE:COLUMN: …". At most 20 are kept. */
void topology_complain(struct topology_report *report, struct topology_mark mark, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* The nearest of the count names to `typed`, or NULL when none is near (edit distance at most a third of its
 * length). */
const char *topology_nearest(const char *typed, const char *const *names, size_t count);

/* An IPv4 address with a prefix length, both in host byte order. */
struct ipv4_prefix {
    uint32_t address;
    uint8_t length; /* 0…32; IPV4_NO_LENGTH: none was given */
};
enum { IPV4_NO_LENGTH = 255 };

/* "10.1.0.1/24" or "10.1.0.1". False: not an IPv4 address; *out untouched. */
bool ipv4_parse(const char *text, struct ipv4_prefix *out);
uint32_t ipv4_mask(unsigned length);
/* "10.1.0.1/24"; "10.1.0.1" when it has no length. */
char *ipv4_format(struct ipv4_prefix prefix);
bool ipv4_contains(struct ipv4_prefix subnet, uint32_t address);
bool ipv4_overlaps(struct ipv4_prefix a, struct ipv4_prefix b);
bool mac_parse(const char *text, uint8_t mac[6]);
char *mac_format(const uint8_t mac[6]);

/* An IPv6 address with a prefix length; functions: topology_six.h. */
struct ipv6_prefix {
    uint8_t bytes[16];
    uint8_t length; /* 0…128; IPV6_NO_LENGTH: none was given */
};
enum { IPV6_NO_LENGTH = 255 };

enum topology_network_kind { TOPOLOGY_SEGMENT, TOPOLOGY_LINK };

/* How a network reaches the world outside the lab. */
enum topology_uplink {
    TOPOLOGY_UPLINK_NONE,
    TOPOLOGY_UPLINK_USER, /* through an unprivileged process (user networking) */
    TOPOLOGY_UPLINK_NAT,  /* through the host's kernel, by NAT */
    TOPOLOGY_UPLINK_NIC,  /* bridged to a NIC of the host */
};

/* "tcp 127.0.0.1:8080 -> web:80" */
struct topology_forward {
    struct topology_mark mark;
    bool is_udp, any_host; /* any_host: on every address of the host */
    bool has_host;         /* an address was given */
    uint32_t host;         /* else this one */
    uint16_t host_port, node_port;
    char *node;
    uint32_t address; /* of the node on this network; after the check */
};

/* A bad line, each word as the emulator takes it ("20ms", "1%", "10M"); NULL: good in that. */
enum topology_impairment {
    TOPOLOGY_DELAY,
    TOPOLOGY_JITTER,
    TOPOLOGY_DISTRIBUTION,
    TOPOLOGY_LOSS,
    TOPOLOGY_BURST,
    TOPOLOGY_DUPLICATE,
    TOPOLOGY_CORRUPT,
    TOPOLOGY_REORDER,
    TOPOLOGY_RATE,
    TOPOLOGY_LIMIT,
    TOPOLOGY_SEED,
    TOPOLOGY_IMPAIRMENTS
};
struct topology_line {
    char *words[TOPOLOGY_IMPAIRMENTS];
};

/* `dhcp:` of a network: addresses and names by dnsmasq. */
struct topology_dhcp_option {
    unsigned number;
    char *value;
};
enum { TOPOLOGY_DHCP_SERVERS_MOST = 4 };
struct topology_dhcp {
    bool is_on;
    struct topology_mark mark;
    uint32_t server;      /* its address; after the check */
    bool has_range;       /* after the check: it is on */
    uint32_t first, last; /* of the leases */
    struct topology_mark range_mark;
    unsigned lease; /* seconds; after the check */
    bool has_router, no_router;
    uint32_t router; /* after the check has_router or no_router */
    struct topology_mark router_mark;
    unsigned dns_count, ntp_count; /* dns_count 0: the server itself */
    uint32_t dns[TOPOLOGY_DHCP_SERVERS_MOST], ntp[TOPOLOGY_DHCP_SERVERS_MOST];
    char *domain; /* after the check */
    struct topology_mark domain_mark;
    GPtrArray *options; /* struct topology_dhcp_option *; NULL: none */
};

struct topology_network {
    enum topology_network_kind kind;
    char *name; /* a link's: "r1:eth1-r2:eth1" after the check unless it has a name of its own */
    struct topology_mark mark;
    bool has_subnet;
    struct ipv4_prefix subnet; /* address is the network's own */
    struct topology_mark subnet_mark;
    bool has_subnet6, auto_subnet6;
    struct ipv6_prefix subnet6;
    struct topology_mark subnet6_mark;
    bool has_host6;                 /* as `host` */
    struct ipv6_prefix host6, dns6; /* dns6: of user networking, after the check */
    struct topology_mark host6_mark;
    unsigned mtu; /* bytes; 1500 after the check when not given */
    struct topology_mark mtu_mark;
    bool has_host;
    struct ipv4_prefix host; /* address of the bridge itself, inside the lab's namespace */
    struct topology_mark host_mark;
    enum topology_uplink uplink;
    char *uplink_nic; /* of TOPOLOGY_UPLINK_NIC */
    struct topology_mark uplink_mark;
    /* After the check, of USER and NAT: the gateway is `host`; the name server is the gateway's (USER) or the
     * one that was given. */
    bool has_dns;
    uint32_t dns;
    struct topology_mark dns_mark;
    GPtrArray *forwards; /* struct topology_forward *; NULL: none */
    struct topology_dhcp dhcp;
    struct topology_line line; /* of every NIC on it that does not say otherwise: what it sends */
};

struct topology_nic {
    char *network_name;
    struct topology_network *network; /* after the check; not owned */
    struct topology_mark mark;
    char *interface; /* name inside the guest; "eth0", … after the check */
    struct topology_mark interface_mark;
    bool has_address;
    bool dhcp;        /* the guest asks for it */
    bool is_reserved; /* after the check: the network's server has `address` for it */
    bool no_address;  /* `none`: stays without one although the network has a subnet */
    struct ipv4_prefix address;
    struct topology_mark address_mark;
    bool has_address6, no_address6;
    struct ipv6_prefix address6;
    struct topology_mark address6_mark;
    bool has_mac;
    uint8_t mac[6];
    struct topology_mark mac_mark;
    struct topology_line line; /* after the check also what its network says */
};

struct topology_route {
    struct ipv4_prefix to; /* 0.0.0.0/0: default */
    struct topology_mark to_mark;
    uint32_t via;
    struct topology_mark via_mark;
    bool is_six; /* then these instead of `to` and `via` */
    struct ipv6_prefix to6, via6;
};

/* When a machine counts as ready. */
enum topology_ready {
    TOPOLOGY_READY_UNSET,
    TOPOLOGY_READY_AGENT,  /* its start-up program says so on the agent port */
    TOPOLOGY_READY_STARTED /* the emulator runs; for kernels that know nothing of netlab */
};

/* What is done when a machine ends by itself. */
enum topology_restart {
    TOPOLOGY_RESTART_UNSET,
    TOPOLOGY_RESTART_NEVER,
    TOPOLOGY_RESTART_ON_FAILURE, /* unless it powered off */
    TOPOLOGY_RESTART_ALWAYS
};
enum { TOPOLOGY_RESTARTS_MOST = 10 }; /* in a row, unless said */
struct topology_restart_policy {
    enum topology_restart when;
    unsigned most;
};

/* One of `disk:`. */
struct topology_disk {
    struct topology_mark mark;
    char *file; /* absolute after the check; NULL: an empty disk of `size` */
    struct topology_mark size_mark;
    uint64_t size;  /* bytes; 0: as large as the file is */
    int persistent; /* 1: what is written goes into the file */
    struct topology_mark persistent_mark;
};
enum { TOPOLOGY_DISKS_MOST = 4 }; /* IDE: two channels with two devices each */

/* `cloud_init:`. */
struct topology_cloud_init {
    int is_on; /* -1: not given */
    struct topology_mark mark;
    char *user_data; /* a file, absolute after the check; NULL: none */
    struct topology_mark user_data_mark;
    GPtrArray *keys; /* struct topology_text *: SSH keys, or files of them; NULL: none */
    char *password;  /* of the image's user; NULL: none */
    struct topology_mark password_mark;
};
struct topology_text {
    char *text;
    struct topology_mark mark;
};

/* What a machine starts from. */
enum topology_boot {
    TOPOLOGY_BOOT_UNSET,
    TOPOLOGY_BOOT_KERNEL, /* its image's, or its own */
    TOPOLOGY_BOOT_DISK,   /* firmware looks at the first disk */
    TOPOLOGY_BOOT_CDROM   /* firmware looks at the CD, then at the disk */
};

/* Everything that may stand both in a node and in `defaults:`. */
struct topology_machine {
    char *image;
    struct topology_mark image_mark;
    unsigned memory; /* MiB, 0: not given */
    struct topology_mark memory_mark;
    char *cpu;
    struct topology_mark cpu_mark;
    char *kernel, *initrd, *append; /* paths are absolute after the check */
    struct topology_mark kernel_mark, initrd_mark;
    enum topology_ready ready;
    int forwarding; /* -1: not given */
    struct topology_restart_policy restart;
    GPtrArray *disks; /* struct topology_disk *; NULL: not given */
    struct topology_mark disks_mark;
    bool has_cdrom;
    char *cdrom; /* absolute after the check; NULL: none, or (has_cdrom) an empty drive */
    struct topology_mark cdrom_mark;
    enum topology_boot boot;
    struct topology_mark boot_mark;
    struct topology_cloud_init cloud_init;
    bool is_bare; /* after the check: neither image nor kernel, firmware starts its disk or CD */
};

/* Something that goes into a guest's file system before its commands run. */
struct topology_file {
    struct topology_mark mark;
    char *path;   /* in the guest, absolute; of a folder: where its contents go */
    char *source; /* file or folder on this computer, absolute after the check; NULL: `text` */
    char *text;
    unsigned mode;    /* permissions; 0: those of the source, 0644 of texts */
    bool is_optional; /* a folder that is taken when it is there */
};

struct topology_node {
    char *name;
    struct topology_mark mark;
    struct topology_machine machine;
    char *hostname;
    struct topology_mark hostname_mark;
    GPtrArray *nics;                   /* struct topology_nic *, in the order of their PCI slots */
    GPtrArray *routes;                 /* struct topology_route * */
    GPtrArray *run;                    /* char *: shell commands, in order */
    GPtrArray *files;                  /* struct topology_file *; later ones replace earlier ones */
    bool wants_loopback, has_loopback; /* has: after the check it has one */
    struct ipv4_prefix loopback;
    struct topology_mark loopback_mark;
};

/* One end of a link, until the check turns it into a NIC. */
struct topology_end {
    char *node;
    struct topology_mark mark;
    struct topology_nic *nic; /* interface, address and MAC as far as given; owned until the check moves it */
};

struct topology_link {
    struct topology_network *network;
    struct topology_end ends[2];
    struct topology_mark mark;
    bool has_name;
};

/* `checks:`: what is looked at in a guest (check.h says how). */
enum topology_test_kind {
    TOPOLOGY_TEST_RUN,     /* a shell command */
    TOPOLOGY_TEST_PING,    /* a node or an address answers */
    TOPOLOGY_TEST_ADDRESS, /* the node has this address */
    TOPOLOGY_TEST_ROUTE,   /* the node has a route to this network */
    TOPOLOGY_TEST_OSPF,    /* FRR: the adjacency is full */
    TOPOLOGY_TEST_BGP,     /* FRR: the session is established */
    TOPOLOGY_TEST_ISIS,    /* FRR: the adjacency is up */
    TOPOLOGY_TEST_SERVICE, /* host:port takes a connection, or a URL answers */
    TOPOLOGY_TEST_FILE,    /* a file is there */
    TOPOLOGY_TEST_KINDS
};
struct topology_test {
    char *name;
    struct topology_mark mark;
    char *node;
    struct topology_mark node_mark;
    char *what[TOPOLOGY_TEST_KINDS]; /* as given: exactly one after the check */
    struct topology_mark what_mark[TOPOLOGY_TEST_KINDS];
    enum topology_test_kind kind; /* after the check */
    char *via, *interface;        /* of routes; of addresses and routes */
    struct topology_mark via_mark;
    char *expect; /* text that must occur in the output besides exit status 0; NULL: any */
    char *match;  /* regular expression that must match it */
    struct topology_mark match_mark;
    char *json; /* JSONPath that must find something in it … */
    struct topology_mark json_mark;
    char *equals;    /* … and this, if given */
    char *hint;      /* what a person is told when it fails */
    int fails;       /* 1: it must not succeed */
    int optional;    /* 1: when it fails that is a warning */
    bool is_hidden;  /* from a second file */
    unsigned points; /* 1 unless said */
    unsigned stage;  /* 0: none. Checks of a stage count once all of the stages before have passed */
    unsigned within; /* seconds to keep trying; 10 unless said */
};

struct topology {
    char *file;      /* absolute path */
    char *directory; /* absolute path of its folder */
    char *source;    /* the file's text */
    char *name;
    struct topology_mark name_mark;
    struct topology_machine defaults;
    bool has_pool;
    struct ipv4_prefix pool; /* links without a subnet get a /30 each from here; 10.255.0.0/16 unless said */
    struct topology_mark pool_mark;
    bool has_loopbacks;
    struct ipv4_prefix loopbacks; /* where loopbacks without an address get one; 10.254.0.0/24 unless said */
    struct topology_mark loopbacks_mark;
    GPtrArray *networks; /* struct topology_network *; links' own at the end after the check */
    GPtrArray *nodes;    /* struct topology_node * */
    GPtrArray *links;    /* struct topology_link * */
    GPtrArray *tests;    /* struct topology_test * */
    GHashTable *student; /* name → text: values of ${student.NAME} (topology_student.h) */
};

/* For the parser: empty ones, all lists there. */
struct topology *topology_new(const char *file, const char *source);
struct topology_node *topology_node_new(const char *name, struct topology_mark mark);
void topology_disk_free(void *disk);
void topology_text_free(void *text);
void topology_free(struct topology *topology);
struct topology_network *topology_find_network(const struct topology *topology, const char *name);
struct topology_node *topology_find_node(const struct topology *topology, const char *name);

static inline void topology_cleanup(struct topology **topology)
{
    topology_free(*topology);
}
static inline void topology_report_cleanup(struct topology_report **report)
{
    topology_report_free(*report);
}
/* `topology_auto struct topology *t = NULL;` frees itself. */
#define topology_auto        __attribute__((cleanup(topology_cleanup)))
#define topology_report_auto __attribute__((cleanup(topology_report_cleanup)))

#define TOPOLOGY_ERROR topology_error_quark()
GQuark topology_error_quark(void);
enum topology_error { TOPOLOGY_ERROR_INVALID, TOPOLOGY_ERROR_FILE };

/* All complaints as one GError (TOPOLOGY_ERROR_INVALID), each on lines of its own. False when there were any.
 */
bool topology_report_ok(const struct topology_report *report, GError **error);
