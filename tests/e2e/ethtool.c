/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * What the NIC's test asks Linux's driver, by the ioctls of ethtool (linux/ethtool.h): a static program for
 * guests that have busybox only.
 *
 *   ethtool NIC test              the offline self-test; exit status 1 and the results when a part fails
 *   ethtool NIC stats             NAME VALUE lines
 *   ethtool NIC ring RX TX        sets both, prints what they are
 *   ethtool NIC set FEATURE 0|1   rx-checksum, tx-checksum, sg, tso, gso, gro, rxvlan, txvlan; prints what it
 * is then ethtool NIC join GROUP        joins an IPv4 group and stays until it is killed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int fd;
static struct ifreq request;

static void ask(void *command)
{
    request.ifr_data = command;
    if (ioctl(fd, SIOCETHTOOL, &request)) {
        fprintf(stderr, "%s: %s\n", request.ifr_name, strerror(errno));
        exit(2);
    }
}

static unsigned count_of(unsigned set)
{
    struct {
        struct ethtool_sset_info info;
        __u32 count;
    } q = {.info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << set}};
    ask(&q);
    return q.count;
}

static struct ethtool_gstrings *names_of(unsigned set, unsigned count)
{
    struct ethtool_gstrings *names = calloc(1, sizeof *names + count * ETH_GSTRING_LEN);
    names->cmd = ETHTOOL_GSTRINGS;
    names->string_set = set;
    names->len = count;
    ask(names);
    return names;
}

static int self_test(void)
{
    unsigned count = count_of(ETH_SS_TEST);
    struct ethtool_gstrings *names = names_of(ETH_SS_TEST, count);
    struct ethtool_test *test = calloc(1, sizeof *test + count * sizeof(__u64));
    test->cmd = ETHTOOL_TEST;
    test->flags = ETH_TEST_FL_OFFLINE;
    test->len = count;
    ask(test);
    int failed = test->flags & ETH_TEST_FL_FAILED;
    for (unsigned i = 0; i < count; i++) {
        printf("%.*s: %llu\n", ETH_GSTRING_LEN, (char *)names->data + i * ETH_GSTRING_LEN,
               (unsigned long long)test->data[i]);
        failed |= test->data[i] != 0;
    }
    return failed || !count;
}

static int statistics(void)
{
    unsigned count = count_of(ETH_SS_STATS);
    struct ethtool_gstrings *names = names_of(ETH_SS_STATS, count);
    struct ethtool_stats *stats = calloc(1, sizeof *stats + count * sizeof(__u64));
    stats->cmd = ETHTOOL_GSTATS;
    stats->n_stats = count;
    ask(stats);
    for (unsigned i = 0; i < count; i++)
        printf("%.*s %llu\n", ETH_GSTRING_LEN, (char *)names->data + i * ETH_GSTRING_LEN,
               (unsigned long long)stats->data[i]);
    return 0;
}

static int rings(unsigned rx, unsigned tx)
{
    struct ethtool_ringparam ring = {.cmd = ETHTOOL_GRINGPARAM};
    ask(&ring);
    ring.cmd = ETHTOOL_SRINGPARAM;
    ring.rx_pending = rx;
    ring.tx_pending = tx;
    ask(&ring);
    ring.cmd = ETHTOOL_GRINGPARAM;
    ask(&ring);
    printf("%u %u\n", ring.rx_pending, ring.tx_pending);
    return 0;
}

static int feature(const char *name, unsigned on)
{
    static const struct {
        const char *name;
        unsigned get, set, flag;
    } all[] = {
        {"rx-checksum", ETHTOOL_GRXCSUM, ETHTOOL_SRXCSUM, 0},
        {"tx-checksum", ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0},
        {"sg", ETHTOOL_GSG, ETHTOOL_SSG, 0},
        {"tso", ETHTOOL_GTSO, ETHTOOL_STSO, 0},
        {"gso", ETHTOOL_GGSO, ETHTOOL_SGSO, 0},
        {"gro", ETHTOOL_GGRO, ETHTOOL_SGRO, 0},
        {"rxvlan", ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, ETH_FLAG_RXVLAN},
        {"txvlan", ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, ETH_FLAG_TXVLAN},
    };
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(name, all[i].name))
            continue;
        struct ethtool_value value = {.cmd = all[i].get};
        ask(&value);
        value.cmd = all[i].set;
        value.data = !all[i].flag ? on : on ? value.data | all[i].flag : value.data & ~all[i].flag;
        ask(&value);
        value.cmd = all[i].get;
        ask(&value);
        printf("%u\n", all[i].flag ? !!(value.data & all[i].flag) : value.data);
        return 0;
    }
    return 2;
}

static int join(const char *group)
{
    struct ip_mreqn wanted = {.imr_ifindex = (int)if_nametoindex(request.ifr_name)};
    if (inet_pton(AF_INET, group, &wanted.imr_multiaddr) != 1 ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &wanted, sizeof wanted)) {
        perror(group);
        return 2;
    }
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (argc < 3 || fd < 0)
        return 2;
    strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
    if (!strcmp(argv[2], "test"))
        return self_test();
    if (!strcmp(argv[2], "stats"))
        return statistics();
    if (!strcmp(argv[2], "ring") && argc == 5)
        return rings((unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    if (!strcmp(argv[2], "set") && argc == 5)
        return feature(argv[3], (unsigned)atoi(argv[4]));
    if (!strcmp(argv[2], "join") && argc == 4)
        return join(argv[3]);
    return 2;
}
