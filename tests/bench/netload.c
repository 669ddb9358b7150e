/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Traffic for the network benchmarks: one static i386 program that runs in the guests and on the host alike.
 *
 * It serves TCP, a UDP sink and a UDP echo in processes of their own, prints "R", and then obeys lines of
 * its input: prints "S", does the work, prints "E result …". Times are taken by whoever reads those markers.
 *
 * The last word after E is how many nanoseconds it took by this end's clock.
 *
 *   tcp-send ADDRESS MS       sends for that long; E: bytes the other end has read
 *   tcp-receive ADDRESS MS    has the other end send for that long; E: bytes read here
 *   udp-send ADDRESS MS SIZE  sends as fast as it goes; E: datagrams sent
 *   udp-count ADDRESS         E: datagrams the other end's sink has read so far
 *   udp-echo ADDRESS MS       one datagram there and back after another; E: round trips, lost
 *   ping ADDRESS MS           the same by ICMP echo, which the other end's kernel answers
 *   check ADDRESS BYTES SEED  sends bytes that follow from the seed, gets as many of the same kind back, and
 * both ends compare them; E: bytes compared here, bytes compared there run COMMAND               by /bin/sh;
 * E: its exit status
 *
 * Whatever fails is a line that begins with "?", and the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT_TCP = 5201, PORT_SINK = 5202, PORT_ECHO = 5203 };
enum { BLOCK = 128 << 10, BATCH = 64, DATAGRAM_MOST = 1472, LOST_AFTER_MS = 1000, PATIENCE_S = 60 };

/* What a client asks for. */
struct request {
    char what; /* s: read until the end and say how much; r: send; c: the sink's count; v: check */
    char pad[3];
    uint32_t ms, seed;
    uint64_t bytes;
} __attribute__((packed));

static volatile uint64_t *sunk; /* shared: what the sink has read */
static uint8_t block[BLOCK];

static void fail(const char *what)
{
    printf("? %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct sockaddr_in address_of(const char *text, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
        errno = EINVAL;
        fail(text);
    }
    return address;
}

static void bind_port(int fd, uint16_t port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&any, sizeof any))
        fail("bind");
}

/* A transfer that stands still is an error, not a wait without end. */
static void be_patient(int fd)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

static bool send_all(int fd, const void *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = send(fd, (const uint8_t *)data + done, length - done, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool receive_all(int fd, void *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = recv(fd, (uint8_t *)data + done, length - done, 0);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void send_for(int fd, uint32_t ms)
{
    uint64_t until = now_ms() + ms;
    while (now_ms() < until)
        if (!send_all(fd, block, sizeof block))
            return;
}

static uint64_t receive_to_end(int fd)
{
    uint64_t bytes = 0;
    for (ssize_t n; (n = recv(fd, block, sizeof block, 0)) > 0;)
        bytes += (uint64_t)n;
    return bytes;
}

/* ---- checked traffic: writes of many sizes, whose bytes follow from a seed ---- */

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void fill(uint32_t *state, uint8_t *to, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint32_t value = next(state);
        memcpy(to + 4 * i, &value, 4);
    }
}

/* Sends and receives at once, so that both directions are full; bytes that were compared and right. */
static uint64_t check_both_ways(int fd, uint64_t bytes, uint32_t seed)
{
    static uint8_t out[65536], in[65536], want[65536];
    uint32_t mine = seed | 1, theirs = seed | 1, sizes = seed * 2654435761u | 1;
    uint64_t sent = 0, good = 0;
    size_t have = 0, at = 0, wanted = 0, seen = 0;
    bytes &= ~UINT64_C(65535);
    while (sent < bytes || good < bytes) {
        struct pollfd p = {.fd = fd,
                           .events = (short)((sent < bytes ? POLLOUT : 0) | (good < bytes ? POLLIN : 0))};
        if (poll(&p, 1, PATIENCE_S * 1000) <= 0 || p.revents & (POLLERR | POLLNVAL))
            return good;
        if (p.revents & POLLOUT && sent < bytes) {
            if (at == have) {
                fill(&mine, out, sizeof out / 4);
                have = sizeof out;
                at = 0;
            }
            /* From single bytes to more than a burst. */
            size_t most = 1 + next(&sizes) % (next(&sizes) % 8 ? sizeof out : 100);
            ssize_t n = send(fd, out + at, most < have - at ? most : have - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN)
                return good;
            at += n > 0 ? (size_t)n : 0;
            sent += n > 0 ? (uint64_t)n : 0;
        }
        if (p.revents & (POLLIN | POLLHUP) && good < bytes) {
            size_t most =
                bytes - good < sizeof in ? (size_t)(bytes - good) : sizeof in; /* the answer follows */
            ssize_t n = recv(fd, in, most, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN))
                return good;
            for (size_t i = 0; n > 0 && i < (size_t)n;) {
                if (seen == wanted) {
                    fill(&theirs, want, sizeof want / 4);
                    wanted = sizeof want;
                    seen = 0;
                }
                size_t part = (size_t)n - i < wanted - seen ? (size_t)n - i : wanted - seen;
                if (memcmp(in + i, want + seen, part))
                    return good;
                good += part;
                seen += part;
                i += part;
            }
        }
    }
    return good;
}

/* ---- serving ---- */

static void serve_one(int fd)
{
    struct request request;
    int on = 1;
    be_patient(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!receive_all(fd, &request, sizeof request))
        return;
    uint64_t answer = 0;
    switch (request.what) {
    case 's':
        answer = receive_to_end(fd);
        break;
    case 'r':
        send_for(fd, request.ms);
        return;
    case 'c':
        answer = *sunk;
        break;
    case 'v':
        answer = check_both_ways(fd, request.bytes, request.seed);
        break;
    default:
        return;
    }
    send_all(fd, &answer, sizeof answer);
}

/* Returns in the child, which ends with its parent. */
static bool is_child(void)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid)
        return false;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    return true;
}

static void serve_tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind_port(fd, PORT_TCP);
    if (listen(fd, 16))
        fail("listen");
    if (!is_child())
        return;
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        if (is_child()) {
            serve_one(client);
            _exit(0);
        }
        close(client);
    }
}

static void serve_udp(uint16_t port, bool echo)
{
    static uint8_t data[BATCH][DATAGRAM_MOST];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), much = 4 << 20;
    bind_port(fd, port);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &much, sizeof much);
    if (!is_child())
        return;
    struct iovec iov[BATCH];
    struct mmsghdr batch[BATCH] = {0};
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    for (unsigned i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){data[i], DATAGRAM_MOST};
        batch[i].msg_hdr.msg_iov = &iov[i];
        batch[i].msg_hdr.msg_iovlen = 1;
    }
    for (;;) {
        if (echo) {
            ssize_t n = recvfrom(fd, data, DATAGRAM_MOST, 0, (struct sockaddr *)&from, &size);
            if (n >= 0)
                sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, size);
            continue;
        }
        int n = recvmmsg(fd, batch, BATCH, MSG_WAITFORONE, NULL);
        if (n > 0)
            *sunk += (unsigned)n;
    }
}

/* ---- asking ---- */

static int connect_to(const char *where, char what, uint32_t ms, uint64_t bytes, uint32_t seed)
{
    struct sockaddr_in to = address_of(where, PORT_TCP);
    struct request request = {.what = what, .ms = ms, .bytes = bytes, .seed = seed};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    be_patient(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) || !send_all(fd, &request, sizeof request))
        fail(where);
    return fd;
}

static uint64_t answer_of(int fd)
{
    uint64_t answer = 0;
    if (!receive_all(fd, &answer, sizeof answer))
        fail("no answer");
    close(fd);
    return answer;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t began;

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
    began = now_ns();
}

static void end(uint64_t a, uint64_t b)
{
    printf("E %llu %llu %llu\n", (unsigned long long)a, (unsigned long long)b,
           (unsigned long long)(now_ns() - began));
    fflush(stdout);
}

static void tcp_send(const char *where, uint32_t ms)
{
    int fd = connect_to(where, 's', 0, 0, 0);
    say("S");
    send_for(fd, ms);
    shutdown(fd, SHUT_WR);
    end(answer_of(fd), 0);
}

static void tcp_receive(const char *where, uint32_t ms)
{
    int fd = connect_to(where, 'r', ms, 0, 0);
    say("S");
    uint64_t bytes = receive_to_end(fd);
    close(fd);
    end(bytes, 0);
}

static void udp_send(const char *where, uint32_t ms, uint32_t size)
{
    struct sockaddr_in to = address_of(where, PORT_SINK);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct iovec iov = {block, size < DATAGRAM_MOST ? size : DATAGRAM_MOST};
    struct mmsghdr batch[BATCH] = {0};
    for (unsigned i = 0; i < BATCH; i++) {
        batch[i].msg_hdr.msg_iov = &iov;
        batch[i].msg_hdr.msg_iovlen = 1;
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof to))
        fail(where);
    say("S");
    uint64_t until = now_ms() + ms, sent = 0;
    while (now_ms() < until) {
        int n = sendmmsg(fd, batch, BATCH, 0);
        if (n < 0 && errno != ENOBUFS && errno != ECONNREFUSED && errno != EAGAIN)
            fail("sendmmsg");
        sent += n > 0 ? (unsigned)n : 0;
    }
    end(sent, 0);
    close(fd);
}

/* One question after another, each until its own answer has come. */
static void round_trips(int fd, uint32_t ms, bool icmp)
{
    uint64_t until = now_ms() + ms, trips = 0, lost = 0;
    uint32_t number = 0;
    say("S");
    while (now_ms() < until) {
        uint8_t question[64] = {0}, answer[256];
        struct icmphdr *header = (struct icmphdr *)(void *)question;
        number++;
        memcpy(question + sizeof *header, &number, sizeof number);
        if (icmp) {
            header->type = ICMP_ECHO;
            header->un.echo.id = htons((uint16_t)getpid());
            header->un.echo.sequence = htons((uint16_t)number);
            uint32_t sum = 0;
            for (unsigned i = 0; i < sizeof question; i += 2)
                sum += (uint32_t)(question[i] << 8 | question[i + 1]);
            sum = (sum & 0xffff) + (sum >> 16);
            header->checksum = htons((uint16_t) ~(sum + (sum >> 16)));
        }
        if (send(fd, question, sizeof question, 0) < 0 && errno != ECONNREFUSED)
            fail("send");
        uint64_t patience = now_ms() + LOST_AFTER_MS;
        for (bool mine = false; !mine;) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            uint64_t now = now_ms();
            if (now >= patience || poll(&p, 1, (int)(patience - now)) <= 0) {
                lost++;
                break;
            }
            ssize_t n = recv(fd, answer, sizeof answer, 0);
            size_t skip = icmp ? 4u * (answer[0] & 15) : 0;
            mine = n >= (ssize_t)(skip + sizeof question) && (!icmp || answer[skip] == ICMP_ECHOREPLY) &&
                   !memcmp(answer + skip + sizeof *header, &number, sizeof number);
            trips += mine;
        }
    }
    end(trips, lost);
    close(fd);
}

static void ask_echo(const char *where, uint32_t ms, bool icmp)
{
    struct sockaddr_in to = address_of(where, icmp ? 0 : PORT_ECHO);
    int fd = icmp ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)
                  : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        fail(where);
    round_trips(fd, ms, icmp);
}

static void check(const char *where, uint64_t bytes, uint32_t seed)
{
    int fd = connect_to(where, 'v', 0, bytes, seed);
    say("S");
    uint64_t here = check_both_ways(fd, bytes, seed);
    uint64_t there = here == (bytes & ~UINT64_C(65535)) ? answer_of(fd) : 0;
    end(here, there);
}

static void obey(char *line)
{
    char name[32] = "", where[64] = "";
    unsigned long long first = 0, second = 0;
    int rest = 0;
    sscanf(line, "%31s %n%63s %llu %llu", name, &rest, where, &first, &second);
    if (!strcmp(name, "tcp-send")) {
        tcp_send(where, (uint32_t)first);
    } else if (!strcmp(name, "tcp-receive")) {
        tcp_receive(where, (uint32_t)first);
    } else if (!strcmp(name, "udp-send")) {
        udp_send(where, (uint32_t)first, (uint32_t)second);
    } else if (!strcmp(name, "udp-count")) {
        say("S");
        end(answer_of(connect_to(where, 'c', 0, 0, 0)), 0);
    } else if (!strcmp(name, "udp-echo") || !strcmp(name, "ping")) {
        ask_echo(where, (uint32_t)first, *name == 'p');
    } else if (!strcmp(name, "check")) {
        check(where, first, (uint32_t)second);
    } else if (!strcmp(name, "run")) {
        say("S");
        end((uint64_t)system(line + rest), 0);
    } else {
        printf("? no such word: %s\n", line);
    }
    fflush(stdout);
}

int main(void)
{
    char line[4096];
    sunk = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sunk == MAP_FAILED)
        fail("mmap");
    signal(SIGPIPE, SIG_IGN);
    serve_tcp();
    serve_udp(PORT_SINK, false);
    serve_udp(PORT_ECHO, true);
    say("R");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        obey(line);
    }
    return 0;
}
