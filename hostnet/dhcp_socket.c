/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The sockets of a DHCP client; see dhcp_socket.h. packet(7), Documentation/networking/filter.rst.
 *
 * A packet socket takes everything from its making until its filter is there, so it is made without a
 * protocol, gets the filter, and is bound to the protocol then.
 *
 * PACKET_AUXDATA says of each packet whether its UDP checksum was left to hardware (TP_STATUS_CSUMNOTREADY:
 * veth and virtio do so) and whether it had a VLAN tag.
 */
#include "hostnet/dhcp_socket.h"
#include "hostnet/dhcp_message.h"
#include "hostnet/hostnet_internal.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { VLAN_ID = 0xfff };

/* Offsets are from the IP header. UDP, no fragment but the first, to port 68. */
static struct sock_filter udp_filter[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 4, 0),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DHCP_PORT_CLIENT, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    BPF_STMT(BPF_RET | BPF_K, 0),
};
static struct sock_filter nothing_filter[] = {BPF_STMT(BPF_RET | BPF_K, 0)};

static bool set_filter(int fd, struct sock_filter *filter, size_t length)
{
    struct sock_fprog program = {.len = (unsigned short)length, .filter = filter};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

static bool fail(const struct hostnet_link *link, const char *what, GError **error)
{
    int reason = errno;
    if (reason == EADDRINUSE)
        return hostnet_error_set_code(error, HOSTNET_ERROR_BUSY, reason, NULL,
                                      "another DHCP client has port 68 there (dhclient, NetworkManager, "
                                      "systemd-networkd?); end it first",
                                      "opening a %s socket on %s", what, link->name);
    bool is_refused = reason == EPERM || reason == EACCES;
    return hostnet_error_set(error, reason, NULL, is_refused ? "needs CAP_NET_RAW; run as root" : NULL,
                             "opening a %s socket on %s", what, link->name);
}

static int open_packet(const struct hostnet_link *link, uint16_t protocol, struct sock_filter *filter,
                       size_t length, const char *what, GError **error)
{
    hostnet_autofd fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = (int)link->index};
    int on = 1;
    if (fd < 0 || (filter && !set_filter(fd, filter, length)) ||
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fail(link, what, error);
        return -1;
    }
    return hostnet_fd_steal(&fd);
}

static int open_udp(const struct hostnet_link *link, GError **error)
{
    hostnet_autofd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(DHCP_PORT_CLIENT)};
    if (fd < 0 || !set_filter(fd, nothing_filter, G_N_ELEMENTS(nothing_filter)) ||
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, link->name, (socklen_t)strlen(link->name) + 1) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fail(link, "UDP", error);
        return -1;
    }
    return hostnet_fd_steal(&fd);
}

bool dhcp_sockets_open_raw(struct hostnet *net, const struct hostnet_link *link, struct dhcp_sockets *sockets,
                           GError **error)
{
    struct hostnet_scope scope;
    *sockets = (struct dhcp_sockets){.index = link->index, .packet = -1, .arp = -1, .udp = -1};
    if (!hostnet_scope_enter(net, &scope, error))
        return false;
    sockets->packet = open_packet(link, ETH_P_IP, udp_filter, G_N_ELEMENTS(udp_filter), "packet", error);
    if (sockets->packet >= 0)
        sockets->arp = open_packet(link, ETH_P_ARP, NULL, 0, "ARP", error);
    hostnet_scope_leave(&scope);
    if (sockets->arp >= 0)
        return true;
    dhcp_sockets_close(sockets);
    return false;
}

bool dhcp_sockets_open(struct hostnet *net, const struct hostnet_link *link, struct dhcp_sockets *sockets,
                       GError **error)
{
    struct hostnet_scope scope;
    if (!dhcp_sockets_open_raw(net, link, sockets, error))
        return false;
    if (hostnet_scope_enter(net, &scope, error)) {
        sockets->udp = open_udp(link, error);
        hostnet_scope_leave(&scope);
    }
    if (sockets->udp >= 0)
        return true;
    dhcp_sockets_close(sockets);
    return false;
}

void dhcp_sockets_close(struct dhcp_sockets *sockets)
{
    hostnet_fd_clear(&sockets->packet);
    hostnet_fd_clear(&sockets->arp);
    hostnet_fd_clear(&sockets->udp);
}

static bool send_frame(int fd, uint32_t index, uint16_t protocol, const struct hostnet_mac *mac,
                       const void *data, size_t length)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(protocol),
                             .sll_ifindex = (int)index,
                             .sll_halen = sizeof mac->octets};
    if (mac)
        memcpy(to.sll_addr, mac->octets, sizeof mac->octets);
    else
        memset(to.sll_addr, 0xff, sizeof mac->octets);
    return sendto(fd, data, length, 0, (struct sockaddr *)&to, sizeof to) == (ssize_t)length;
}

bool dhcp_sockets_send(const struct dhcp_sockets *sockets, uint32_t source, uint32_t destination,
                       const struct hostnet_mac *mac, const uint8_t *payload, size_t length)
{
    g_autoptr(GByteArray) packet = dhcp_packet_build(source, destination, payload, length);
    return send_frame(sockets->packet, sockets->index, ETH_P_IP, mac, packet->data, packet->len);
}

bool dhcp_sockets_send_udp(const struct dhcp_sockets *sockets, uint32_t source, uint32_t destination,
                           const uint8_t *payload, size_t length)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(DHCP_PORT_SERVER), .sin_addr.s_addr = htonl(destination)};
    /* From the leased address, should the interface have others. */
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)),
                            .cmsg_level = IPPROTO_IP,
                            .cmsg_type = IP_PKTINFO}};
    struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(source)};
    memcpy(CMSG_DATA(&control.header), &from, sizeof from);
    struct iovec iov = {.iov_base = (void *)payload, .iov_len = length};
    struct msghdr message = {.msg_name = &to,
                             .msg_namelen = sizeof to,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    return sendmsg(sockets->udp, &message, 0) == (ssize_t)length;
}

bool dhcp_sockets_send_arp(const struct dhcp_sockets *sockets, const struct dhcp_arp *arp)
{
    uint8_t bytes[DHCP_ARP_SIZE];
    dhcp_arp_build(arp, bytes);
    return send_frame(sockets->arp, sockets->index, ETH_P_ARP, NULL, bytes, sizeof bytes);
}

/* A frame's contents, for us or for all, untagged. -1: no more; 0: not ours. */
static ssize_t receive_frame(int fd, void *buffer, size_t size, bool *is_unsummed)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    } control;
    struct sockaddr_ll from = {};
    struct iovec iov = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t length;
    do
        length = recvmsg(fd, &message, MSG_DONTWAIT);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        /* ENETDOWN and the like are said once and are no end. */
        return errno == EAGAIN || errno == EBADF ? -1 : 0;
    *is_unsummed = false;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA)
            continue;
        struct tpacket_auxdata data;
        memcpy(&data, CMSG_DATA(part), sizeof data);
        *is_unsummed = data.tp_status & TP_STATUS_CSUMNOTREADY;
        if ((data.tp_status & TP_STATUS_VLAN_VALID) && (data.tp_vlan_tci & VLAN_ID))
            return 0;
    }
    return from.sll_pkttype == PACKET_OUTGOING || from.sll_pkttype == PACKET_OTHERHOST ? 0 : length;
}

enum dhcp_received dhcp_sockets_receive(const struct dhcp_sockets *sockets, uint8_t *buffer,
                                        struct dhcp_packet *packet)
{
    bool is_unsummed;
    ssize_t length = receive_frame(sockets->packet, buffer, DHCP_FRAME_MAX, &is_unsummed);
    if (length < 0)
        return DHCP_RECEIVED_NOTHING;
    return length > 0 && dhcp_packet_parse(buffer, (size_t)length, is_unsummed, packet, NULL) &&
                   packet->destination_port == DHCP_PORT_CLIENT
               ? DHCP_RECEIVED_PACKET
               : DHCP_RECEIVED_OTHER;
}

enum dhcp_received dhcp_sockets_receive_arp(const struct dhcp_sockets *sockets, struct dhcp_arp *arp)
{
    uint8_t bytes[128];
    bool is_unsummed;
    ssize_t length = receive_frame(sockets->arp, bytes, sizeof bytes, &is_unsummed);
    if (length < 0)
        return DHCP_RECEIVED_NOTHING;
    return length > 0 && dhcp_arp_parse(bytes, (size_t)length, arp) ? DHCP_RECEIVED_PACKET
                                                                    : DHCP_RECEIVED_OTHER;
}
