/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * netlab-guest: the first process of our guest images, and what answers the host inside them.
 *
 * A small static i386 program. main.c is init: it mounts, loads the NIC driver, configures the node and looks
 * after its children. config.c reads what the node should be, network.c makes it so over rtnetlink, agent.c
 * answers the QEMU guest agent's protocol on the second serial port. One process, one thread, one poll loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    NAME_MAX_LENGTH = 64,
    ADDRESS_TEXT = 64,
    MAX_ADDRESSES = 8,
    MAX_INTERFACES = 16,
    MAX_ROUTES = 64,
    MAX_RUNS = 64,
    MAX_NAME_SERVERS = 3,
    MAX_DRIVES = 4,
    DISK_NAME = 32
};

struct guest_address {
    int family; /* AF_INET, AF_INET6 */
    uint8_t bytes[16];
    unsigned prefix; /* bits */
};

struct guest_interface {
    uint8_t mac[6];
    char name[16];
    unsigned mtu; /* 0: the driver's */
    bool dhcp;    /* asks for its address; may have others besides */
    unsigned address_count;
    struct guest_address address[MAX_ADDRESSES];
};

struct guest_route {
    struct guest_address to; /* prefix 0: default */
    bool has_via;
    struct guest_address via;
    char device[16]; /* "" when via is enough */
};

/* "ide0-hd1": channel 0, device 1. */
struct guest_drive {
    unsigned channel, device;
    bool is_cd;
};

struct guest_config {
    char hostname[NAME_MAX_LENGTH + 1];
    bool forwarding;
    unsigned interface_count, route_count, run_count;
    struct guest_interface interface[MAX_INTERFACES];
    struct guest_route route[MAX_ROUTES];
    char *run[MAX_RUNS];
    unsigned name_server_count;
    struct guest_address name_server[MAX_NAME_SERVERS];
    unsigned loopback_count;
    struct guest_address loopback[MAX_ADDRESSES];
    unsigned drive_count;
    struct guest_drive drive[MAX_DRIVES];
};

/* config.c: fw_cfg file opt/netlab/config, else netlab.config= (percent-encoded) on the kernel command line.
 * A line that cannot be understood is reported on the console and skipped. Returns false when there is no
 * configuration. */
bool config_read(struct guest_config *config);
bool config_parse(struct guest_config *config, char *text);
bool address_parse(const char *text, struct guest_address *out); /* "10.0.0.1/24", "fd00::1/64", "default" */

/* files.c: what the host hands over besides. */
void files_unpack(void); /* fw_cfg file opt/netlab/files, into the file system */
char *
files_hosts(size_t *length); /* fw_cfg file opt/netlab/hosts: lines for /etc/hosts; allocated, NULL: none */

/* disks.c: the kernel's name ("sda") of what is plugged in there, once its driver has it; false: ten seconds
 * have passed. And /dev/disk/ide0-hd1 for each drive of the configuration. */
bool disk_find(unsigned channel, unsigned device, char name[DISK_NAME]);
void disks_link(const struct guest_config *config);

/* network.c */
void network_apply(const struct guest_config *config);
/* Makes this the interface's only IPv4 address (NULL: none) and sets its MTU (0: as it is). */
void network_replace_address(const char *interface, const struct guest_address *address, unsigned mtu);
void network_add_route(const struct guest_route *route);
/* Text of all interfaces as the agent's guest-network-get-interfaces returns it (a JSON array). */
struct text;
void network_describe(struct text *out);

/* dhcp.c */
void dhcp_start(const struct guest_config *config);
unsigned dhcp_waiting(void);                /* interfaces without a lease */
bool dhcp_child_ended(pid_t pid);           /* true: it was a client */
bool dhcp_restart(void);                    /* starts clients that ended; true: call again in a second */
bool dhcp_is_script(int argc, char **argv); /* is this process a client's script? */
int dhcp_script(const char *what);

/* agent.c: fd is the serial port. agent_ready() sends the one unasked-for line: the node is configured. */
void agent_start(int fd);
int agent_fd(void);
void agent_input(void);
void agent_poll_outputs(void); /* drains the pipes of running guest-exec children */
void agent_ready(void);
bool agent_child_ended(pid_t pid, int status); /* true: it was one of the agent's */
enum { AGENT_MAX_FDS = 33 + 8 * 3 };
struct pollfd;
unsigned agent_fds(struct pollfd *fds); /* fills at most AGENT_MAX_FDS */
int agent_timeout(void);                /* ms until agent_tick() is due; -1: never */
void agent_tick(void);

/* session.c: programs whose input and output flow while they run; see there for the commands. */
enum { SESSIONS = 8 };
struct session_start {
    char **argv; /* NULL-terminated */
    bool terminal, digest;
    unsigned rows, columns;
};
struct session_exchange {
    long long session, out_acknowledged, err_acknowledged, input_at;
    int wait; /* ms */
    char *input;
    size_t input_length;
    bool input_end;
};
/* Each fills `reply` with a whole answer, or returns what is wrong. session_exchange() with nothing to say
 * leaves it empty: session_pending() gives the answer when there is one, or at once when `now`. */
const char *session_open(const struct session_start *start, struct text *reply);
const char *session_exchange(const struct session_exchange *exchange, struct text *reply);
bool session_pending(bool now, struct text *reply); /* false: nobody waits, or not yet */
const char *session_signal(long long session, int number);
const char *session_resize(long long session, unsigned rows, unsigned columns);
const char *session_close(long long session);
bool session_child_ended(pid_t pid, int status);
unsigned session_fds(struct pollfd *fds); /* at most SESSIONS * 3 */
int session_timeout(void);
void session_poll(void); /* moves what can be moved */

/* sha256.c (FIPS 180-4) */
struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};
void sha256_begin(struct sha256 *sum);
void sha256_add(struct sha256 *sum, const void *data, size_t length);
void sha256_end(struct sha256 *sum, char text[65]); /* in hexadecimal */

/* main.c */
void guest_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
void guest_write_file(const char *path, const char *text);
void guest_run(char *const argv[]); /* waits for it, ten seconds at most */
void guest_power(const char *mode); /* "powerdown", "reboot", "halt": asks init to end the machine */
pid_t guest_spawn(char *const argv[], const char *tty, int in, int out, int err); /* -1 on failure */

/* text.c: a growing string */
struct text {
    char *at;
    size_t length, size;
};
void text_add(struct text *t, const char *s);
void text_add_bytes(struct text *t, const char *s, size_t n);
void text_addf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_json(struct text *t, const char *s, size_t n); /* quoted and escaped */
void text_add_base64(struct text *t, const uint8_t *data, size_t n);
void text_free(struct text *t);
size_t base64_decode(char *in_place, size_t n); /* returns bytes, stops at the first foreign character */
