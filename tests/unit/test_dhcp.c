/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * DHCP without a network: messages, packets, leases, identifiers. The state machine is test_dhcp_client.c.
 */
#include "dhcp_reply.h"

static const uint32_t SERVER = IP(10, 0, 0, 1), ADDRESS = IP(10, 0, 0, 57);

static GByteArray *bytes_of(struct dhcp_message *message)
{
    GByteArray *bytes = dhcp_message_encode(message);
    dhcp_message_free(message);
    return bytes;
}

static void assert_option(const struct dhcp_message *message, unsigned option, const void *data,
                          size_t length)
{
    size_t found_length;
    const uint8_t *found = dhcp_message_get(message, option, &found_length);
    g_assert_nonnull(found);
    g_assert_cmpmem(found, found_length, data, length);
}

/* ---- messages ---- */

static void test_round_trip(void)
{
    struct dhcp_message *message = reply_new(DHCP_ACK, 0xdeadbeef, ADDRESS, SERVER);
    message->hops = 3;
    message->seconds = 77;
    message->broadcast = true;
    message->client = IP(1, 2, 3, 4);
    message->next_server = IP(5, 6, 7, 8);
    message->relay = IP(9, 10, 11, 12);
    strcpy(message->server_name, "boot");
    strcpy(message->file, "pxelinux.0");
    uint8_t longest[600];
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = (uint8_t)i;
    dhcp_message_set(message, 224, longest, sizeof longest);
    dhcp_message_set(message, 80, "", 0);
    g_autoptr(GByteArray) bytes = dhcp_message_encode(message);
    g_autoptr(GError) error = NULL;
    g_autoptr(dhcp_message) again = dhcp_message_decode(bytes->data, bytes->len, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(again->xid, ==, 0xdeadbeef);
    g_assert_cmpuint(again->hops, ==, 3);
    g_assert_cmpuint(again->seconds, ==, 77);
    g_assert_true(again->broadcast);
    g_assert_cmpuint(again->client, ==, message->client);
    g_assert_cmpuint(again->yours, ==, ADDRESS);
    g_assert_cmpuint(again->next_server, ==, message->next_server);
    g_assert_cmpuint(again->relay, ==, message->relay);
    g_assert_cmpstr(again->server_name, ==, "boot");
    g_assert_cmpstr(again->file, ==, "pxelinux.0");
    g_assert_cmpuint(dhcp_message_type(again), ==, DHCP_ACK);
    assert_option(again, 224, longest, sizeof longest); /* RFC 3396: in three pieces */
    assert_option(again, 80, "", 0);
    g_autoptr(GByteArray) twice = dhcp_message_encode(again);
    g_assert_cmpmem(twice->data, twice->len, bytes->data, bytes->len);
    dhcp_message_free(message);
}

/* What is on the wire, byte for byte: RFC 2131 figure 1. */
static void test_wire(void)
{
    struct dhcp_message *message = dhcp_message_new(DHCP_OP_REQUEST, DHCP_DISCOVER);
    message->xid = 0x01020304;
    message->hardware[0] = 0x52;
    g_autoptr(GByteArray) bytes = bytes_of(message);
    static const uint8_t start[] = {1, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0},
                         options[] = {99, 130, 83, 99, 53, 1, 1, 255};
    g_assert_cmpuint(bytes->len, ==, DHCP_LEAST_SIZE);
    g_assert_cmpmem(bytes->data, sizeof start, start, sizeof start);
    g_assert_cmpuint(bytes->data[28], ==, 0x52);
    g_assert_cmpmem(bytes->data + 236, sizeof options, options, sizeof options);
}

/* A message of 240 bytes with these options, sname and file. */
static struct dhcp_message *decode_with(const uint8_t *options, size_t length, const uint8_t *file,
                                        size_t file_length, const uint8_t *name, size_t name_length,
                                        GError **error)
{
    uint8_t bytes[1024] = {2, 1, 6};
    static const uint8_t cookie[] = {99, 130, 83, 99};
    memcpy(bytes + 236, cookie, sizeof cookie);
    memcpy(bytes + 240, options, length);
    if (file_length)
        memcpy(bytes + 108, file, file_length);
    if (name_length)
        memcpy(bytes + 44, name, name_length);
    return dhcp_message_decode(bytes, 240 + length, error);
}

static void test_overload(void)
{
    static const uint8_t options[] = {52, 1, 3, 12, 2, 'a', 'b', 255}, file[] = {12, 1, 'c', 255},
                         name[] = {0, 0, 12, 2, 'd', 'e', 52, 1, 3, 255};
    g_autoptr(GError) error = NULL;
    g_autoptr(dhcp_message) both =
        decode_with(options, sizeof options, file, sizeof file, name, sizeof name, &error);
    g_assert_no_error(error);
    /* Joined in the order options, file, sname; the fields are no strings then. */
    assert_option(both, 12, "abcde", 5);
    g_assert_cmpstr(both->file, ==, "");
    g_assert_cmpstr(both->server_name, ==, "");
    /* An overload option only within an overloaded field makes nothing of the other one. */
    static const uint8_t only_file[] = {52, 1, 1, 255}, says_both[] = {52, 1, 3, 255}, is_name[] = "server";
    g_autoptr(dhcp_message) one = decode_with(only_file, sizeof only_file, says_both, sizeof says_both,
                                              is_name, sizeof is_name, &error);
    /* (joined, option 52 has two bytes now; what counts was read before) */
    g_assert_no_error(error);
    g_assert_cmpstr(one->server_name, ==, "server");
    g_assert_cmpstr(one->file, ==, "");
}

static void test_malformed(void)
{
    static const struct {
        uint8_t options[8];
        size_t length;
        const char *text;
    } rows[] = {
        {{53}, 1, "has no length"},
        {{53, 2, 1}, 3, "says it has 2 bytes, and only 1"},
        {{0, 0, 0, 255}, 4, NULL},
        {{}, 0, NULL},
        {{53, 1, 2}, 3, NULL}, /* no END */
        {{255, 53, 200}, 3, NULL},
        {{52, 1, 0, 255}, 4, "neither 1, 2 nor 3"},
        {{52, 1, 4, 255}, 4, "neither 1, 2 nor 3"},
        {{52, 2, 1, 1, 255}, 5, "neither 1, 2 nor 3"},
        {{52, 0, 255}, 3, "neither 1, 2 nor 3"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(dhcp_message) message =
            decode_with(rows[i].options, rows[i].length, NULL, 0, NULL, 0, &error);
        g_test_message("row %zu: %s", i, error ? error->message : "fine");
        g_assert_cmpint(message != NULL, ==, rows[i].text == NULL);
        g_assert_true(!rows[i].text || strstr(error->message, rows[i].text));
    }
    /* A field that an overload makes one of options is as strict. */
    static const uint8_t options[] = {52, 1, 1, 255};
    uint8_t file[128];
    memset(file, 12, sizeof file);
    g_autoptr(GError) error = NULL;
    g_assert_null(decode_with(options, sizeof options, file, sizeof file, NULL, 0, &error));
    g_assert_nonnull(strstr(error->message, "file field"));
    uint8_t none[240] = {2, 1, 6};
    g_clear_error(&error);
    g_assert_null(dhcp_message_decode(none, 239, &error));
    g_clear_error(&error);
    g_assert_null(dhcp_message_decode(none, 240, &error));
    g_assert_nonnull(strstr(error->message, "cookie"));
    /* A type said twice is none. */
    static const uint8_t twice[] = {53, 1, 2, 53, 1, 2, 255};
    g_autoptr(dhcp_message) message = decode_with(twice, sizeof twice, NULL, 0, NULL, 0, NULL);
    g_assert_cmpuint(dhcp_message_type(message), ==, 0);
}

/* ---- packets ---- */

static void test_packet(void)
{
    static const uint8_t payload[] = "an odd number of bytes";
    g_autoptr(GByteArray) bytes = dhcp_packet_build(0, DHCP_BROADCAST, payload, sizeof payload);
    struct dhcp_packet packet;
    g_autoptr(GError) error = NULL;
    g_assert_true(dhcp_packet_parse(bytes->data, bytes->len, false, &packet, &error));
    g_assert_cmpmem(packet.payload, packet.length, payload, sizeof payload);
    g_assert_cmpuint(packet.source_port, ==, 68);
    g_assert_cmpuint(packet.destination_port, ==, 67);
    g_assert_cmpuint(packet.destination, ==, DHCP_BROADCAST);
    /* Every single byte is covered by a checksum or a rule, but the ports' own and ToS, id, TTL within the
     * sum. */
    for (guint i = 0; i < bytes->len; i++) {
        bytes->data[i] ^= 0x55;
        g_assert_false(dhcp_packet_parse(bytes->data, bytes->len, false, &packet, NULL));
        bytes->data[i] ^= 0x55;
    }
    /* Cut short anywhere it is refused; longer frames are padding. */
    for (guint i = 0; i < bytes->len; i++)
        g_assert_false(dhcp_packet_parse(bytes->data, i, false, &packet, NULL));
    g_autofree uint8_t *padded = g_malloc0(bytes->len + 30);
    memcpy(padded, bytes->data, bytes->len);
    g_assert_true(dhcp_packet_parse(padded, bytes->len + 30, false, &packet, NULL));
    g_assert_cmpuint(packet.length, ==, sizeof payload);
    /* A checksum that hardware was to fill in, and none at all (0). */
    bytes->data[26] ^= 1;
    g_assert_false(dhcp_packet_parse(bytes->data, bytes->len, false, &packet, NULL));
    g_assert_true(dhcp_packet_parse(bytes->data, bytes->len, true, &packet, NULL));
    bytes->data[26] = bytes->data[27] = 0;
    g_assert_true(dhcp_packet_parse(bytes->data, bytes->len, false, &packet, NULL));
    /* The IP header has to be right all the same. */
    bytes->data[12] ^= 1;
    g_assert_false(dhcp_packet_parse(bytes->data, bytes->len, true, &packet, NULL));
}

static void test_arp(void)
{
    struct dhcp_arp arp = {.operation = DHCP_ARP_REPLY,
                           .sender_mac = {2, 0, 0, 0, 0, 1},
                           .target_mac = {2, 0, 0, 0, 0, 2},
                           .sender = SERVER,
                           .target = ADDRESS},
                    again;
    uint8_t bytes[DHCP_ARP_SIZE];
    dhcp_arp_build(&arp, bytes);
    g_assert_true(dhcp_arp_parse(bytes, sizeof bytes, &again));
    g_assert_cmpmem(&again, sizeof again, &arp, sizeof arp);
    g_assert_false(dhcp_arp_parse(bytes, sizeof bytes - 1, &again));
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] ^= 0x40;
        g_assert_false(dhcp_arp_parse(bytes, sizeof bytes, &again));
        bytes[i] ^= 0x40;
    }
}

/* ---- leases ---- */

static struct dhcp_lease *lease_of(struct dhcp_message *message, GError **error)
{
    struct dhcp_lease *lease = dhcp_lease_from_message(message, error);
    dhcp_message_free(message);
    return lease;
}

static void assert_refused(struct dhcp_message *message, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(lease_of(message, &error));
    g_test_message("%s", error->message);
    if (!strstr(error->message, text))
        g_error("\"%s\" does not say \"%s\"", error->message, text);
}

static struct dhcp_message *ack(void)
{
    return reply_new(DHCP_ACK, 1, ADDRESS, SERVER);
}

static void test_refused_leases(void)
{
    static const struct {
        uint32_t address;
        const char *text;
    } addresses[] = {
        {0, "no address that a host may have"},
        {IP(0, 0, 0, 5), "no address that a host may have"},
        {IP(127, 0, 0, 1), "no address that a host may have"},
        {IP(224, 0, 0, 1), "no address that a host may have"},
        {IP(240, 0, 0, 1), "no address that a host may have"},
        {DHCP_BROADCAST, "no address that a host may have"},
        {IP(10, 0, 0, 0), "is the network address"},
        {IP(10, 0, 0, 255), "is the broadcast address"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++)
        assert_refused(reply_new(DHCP_ACK, 1, addresses[i].address, SERVER), addresses[i].text);
    assert_refused(reply_new(DHCP_ACK, 1, ADDRESS, 0), "no server's address");
    assert_refused(reply_new(DHCP_ACK, 1, ADDRESS, DHCP_BROADCAST), "no server's address");
    assert_refused(reply_new(DHCP_ACK, 1, ADDRESS, IP(239, 1, 1, 1)), "no server's address");
    struct dhcp_message *message = ack();
    g_clear_pointer(&message->options[DHCP_OPTION_SERVER], g_bytes_unref);
    assert_refused(message, "server identifier (option 54) is missing");
    message = ack();
    dhcp_message_set(message, DHCP_OPTION_SERVER, "abc", 3);
    assert_refused(message, "server identifier (option 54) is missing");
    message = ack();
    g_clear_pointer(&message->options[DHCP_OPTION_LIFETIME], g_bytes_unref);
    assert_refused(message, "lease time (option 51) is missing");
    message = ack();
    dhcp_message_set_u32(message, DHCP_OPTION_LIFETIME, 0);
    assert_refused(message, "for no time at all");
    static const uint32_t masks[] = {0, 0xff00ff00, 0x00ffffff, 1};
    for (size_t i = 0; i < G_N_ELEMENTS(masks); i++) {
        message = ack();
        dhcp_message_set_u32(message, DHCP_OPTION_MASK, masks[i]);
        assert_refused(message, "subnet mask");
    }
    message = ack();
    dhcp_message_set(message, DHCP_OPTION_MASK, "\xff\xff", 2);
    assert_refused(message, "2 bytes instead of 4");
}

static void test_times(void)
{
    static const struct {
        uint32_t lifetime, t1, t2, expect_t1, expect_t2;
    } rows[] = {
        {3600, 0, 0, 1800, 3150},
        {3600, 100, 200, 100, 200},
        {3600, 200, 100, 100, 100},   /* T1 after T2 */
        {3600, 100, 3600, 100, 3150}, /* T2 not before the end */
        {3600, 9000, 9000, 1800, 3150},
        {1, 0, 0, 0, 0},
        {2, 0, 0, 1, 1},
        {DHCP_FOREVER, 5, 6, DHCP_FOREVER, DHCP_FOREVER},
        {DHCP_FOREVER - 1, 0, 0, 0x7fffffff, 0xdffffffe},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct dhcp_message *message = ack();
        dhcp_message_set_u32(message, DHCP_OPTION_LIFETIME, rows[i].lifetime);
        dhcp_message_set_u32(message, DHCP_OPTION_T1, rows[i].t1);
        dhcp_message_set_u32(message, DHCP_OPTION_T2, rows[i].t2);
        g_autoptr(dhcp_lease) lease = lease_of(message, NULL);
        g_test_message("row %zu: %u %u", i, lease->t1, lease->t2);
        g_assert_cmpuint(lease->t1, ==, rows[i].expect_t1);
        g_assert_cmpuint(lease->t2, ==, rows[i].expect_t2);
        lease->obtained_ms = 5000;
        g_assert_cmpint(dhcp_lease_end(lease), ==,
                        rows[i].lifetime == DHCP_FOREVER ? INT64_MAX
                                                         : 5000 + (int64_t)rows[i].lifetime * 1000);
        g_assert_cmpuint(dhcp_lease_left(lease, 6000), ==,
                         rows[i].lifetime == DHCP_FOREVER ? DHCP_FOREVER : rows[i].lifetime - 1);
    }
}

static const struct dhcp_route *route_of(const struct dhcp_lease *lease, guint i)
{
    g_assert_cmpuint(i, <, lease->routes->len);
    return &g_array_index(lease->routes, struct dhcp_route, i);
}

static void test_routes(void)
{
    /* RFC 3442's own shapes: default, /8, /24 with host bits, /32, on link. */
    static const uint8_t routes[] = {0,   10, 0,    0,  254, 8,  17, 10, 0,  0, 253, 25, 192,
                                     168, 1,  0xff, 10, 0,   0,  9,  32, 10, 9, 9,   9,  10,
                                     0,   0,  8,    24, 172, 16, 5,  0,  0,  0, 0};
    struct dhcp_message *message = ack();
    dhcp_message_set(message, DHCP_OPTION_ROUTES, routes, sizeof routes);
    g_autoptr(dhcp_lease) lease = lease_of(message, NULL);
    g_assert_cmpuint(lease->routes->len, ==, 5);
    g_assert_cmpuint(dhcp_lease_router(lease), ==, IP(10, 0, 0, 254)); /* not option 3's 10.0.0.1 */
    g_assert_cmpuint(route_of(lease, 1)->destination, ==, IP(17, 0, 0, 0));
    g_assert_cmpuint(route_of(lease, 1)->length, ==, 8);
    g_assert_cmpuint(route_of(lease, 2)->destination, ==, IP(192, 168, 1, 128));
    g_assert_cmpuint(route_of(lease, 3)->destination, ==, IP(10, 9, 9, 9));
    g_assert_cmpuint(route_of(lease, 4)->gateway, ==, 0);

    /* Malformed: as if it were not there, so option 3 counts; and it is said. */
    static const struct {
        uint8_t bytes[12];
        size_t length;
    } bad[] = {
        {{33, 1, 2, 3, 4, 5, 1, 1, 1, 1}, 10}, {{24, 10, 0, 0, 10, 0, 0}, 7}, {{8}, 1}, {{255, 255}, 2}};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        message = ack();
        dhcp_message_set(message, DHCP_OPTION_ROUTES, bad[i].bytes, bad[i].length);
        g_autoptr(dhcp_lease) other = lease_of(message, NULL);
        g_assert_cmpuint(dhcp_lease_router(other), ==, SERVER);
        g_assert_cmpuint(other->notes->len, >=, 1);
    }
    /* Single routes that make no sense are left out; those before and behind stay. 249 is 121's old number.
     */
    static const uint8_t mixed[] = {8, 11,   224, 0, 0, 1, 8, 12,  10, 0, 0, 2,
                                    4, 0xe0, 10,  0, 0, 2, 8, 127, 10, 0, 0, 2};
    message = ack();
    dhcp_message_set(message, DHCP_OPTION_ROUTES_OLD, mixed, sizeof mixed);
    g_autoptr(dhcp_lease) some = lease_of(message, NULL);
    g_assert_cmpuint(some->routes->len, ==, 1);
    g_assert_cmpuint(route_of(some, 0)->destination, ==, IP(12, 0, 0, 0));
    g_assert_cmpuint(some->notes->len, ==, 3);
    /* More than anybody needs. */
    g_autoptr(GByteArray) many = g_byte_array_new();
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t one[] = {32, 10, (uint8_t)(i >> 8), (uint8_t)i, 9, 10, 0, 0, 1};
        g_byte_array_append(many, one, sizeof one);
    }
    message = ack();
    dhcp_message_set(message, DHCP_OPTION_ROUTES, many->data, many->len);
    g_autoptr(dhcp_lease) bounded = lease_of(message, NULL);
    g_assert_cmpuint(bounded->routes->len, ==, DHCP_LEASE_LIST_MAX);
    g_assert_cmpuint(bounded->notes->len, <=, DHCP_LEASE_LIST_MAX);
}

static void test_search(void)
{
    /* RFC 3397 section 2's example: eng.apple.com, marketing.apple.com by a pointer to offset 4. */
    static const uint8_t example[] = {3, 'e', 'n', 'g', 5,   'a', 'p', 'p', 'l', 'e', 3,   'c',  'o', 'm',
                                      0, 9,   'm', 'a', 'r', 'k', 'e', 't', 'i', 'n', 'g', 0xc0, 4};
    g_autoptr(GPtrArray) names = dhcp_search_decode(example, sizeof example, NULL);
    g_assert_cmpuint(names->len, ==, 2);
    g_assert_cmpstr(names->pdata[0], ==, "eng.apple.com");
    g_assert_cmpstr(names->pdata[1], ==, "marketing.apple.com");
    static const struct {
        uint8_t bytes[8];
        size_t length;
        const char *text;
    } bad[] = {
        {{0xc0, 0}, 2, "does not go backwards"},
        {{1, 'a', 0xc0, 0}, 4, "does not go backwards"},
        {{1, 'a', 0xc0, 4, 0xc0, 2}, 6, "does not go backwards"},
        {{1, 'a'}, 2, "ends within"},
        {{9, 'a'}, 2, "ends within"},
        {{0xc0}, 1, "ends within"},
        {{0x40, 'a', 0}, 3, "ends within"},
        {{0}, 1, "no domain has"},
        {{1, ';', 0}, 3, "no domain has"},
        {{1, 0, 0}, 3, "no domain has"},
        {{1, '\n', 0}, 3, "no domain has"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_test_message("row %zu", i);
        g_assert_null(dhcp_search_decode(bad[i].bytes, bad[i].length, &error));
        g_assert_nonnull(strstr(error->message, bad[i].text));
    }
    /* A name of more than 253 characters, by pointers that all go backwards. */
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    uint8_t label[64] = {63};
    memset(label + 1, 'x', 63);
    g_byte_array_append(bytes, label, 64);
    g_byte_array_append(bytes, (const uint8_t *)"", 1);
    for (unsigned i = 0; i < 6; i++) {
        uint16_t target = (uint16_t)(i ? 65 + (i - 1) * 66 : 0);
        uint8_t pointer[2] = {(uint8_t)(0xc0 | target >> 8), (uint8_t)target};
        g_byte_array_append(bytes, label, 64);
        g_byte_array_append(bytes, pointer, 2);
    }
    g_assert_null(dhcp_search_decode(bytes->data, bytes->len, NULL));
}

static void test_rest_of_lease(void)
{
    struct dhcp_message *message = ack();
    static const uint8_t servers[] = {10, 0, 0, 2, 0, 0, 0, 0, 255, 255, 255, 255, 9, 9, 9, 9};
    static const uint8_t search[] = {3, 'l', 'a', 'b', 0};
    dhcp_message_set(message, DHCP_OPTION_DNS, servers, sizeof servers);
    dhcp_message_set(message, DHCP_OPTION_NTP, servers, 4);
    dhcp_message_set(message, DHCP_OPTION_DOMAIN, "example.org.\0\0", 14);
    dhcp_message_set(message, DHCP_OPTION_HOSTNAME, "h1", 2);
    dhcp_message_set(message, DHCP_OPTION_SEARCH, search, sizeof search);
    dhcp_message_set_u16(message, DHCP_OPTION_MTU, 1400);
    dhcp_message_set_u32(message, DHCP_OPTION_BROADCAST, IP(10, 0, 0, 255));
    g_autoptr(dhcp_lease) lease = lease_of(message, NULL);
    g_assert_cmpuint(lease->dns->len, ==, 2);
    g_assert_cmpuint(g_array_index(lease->dns, uint32_t, 1), ==, IP(9, 9, 9, 9));
    g_assert_cmpuint(lease->ntp->len, ==, 1);
    g_assert_cmpstr(lease->domain, ==, "example.org");
    g_assert_cmpstr(lease->hostname, ==, "h1");
    g_assert_cmpstr(lease->search->pdata[0], ==, "lab");
    g_assert_cmpuint(lease->mtu, ==, 1400);
    g_assert_cmpuint(lease->broadcast, ==, IP(10, 0, 0, 255));
    g_assert_cmpuint(lease->notes->len, ==, 0);

    /* As text and back, also by a copy. */
    lease->obtained_ms = 123456;
    lease->obtained_at = 1700000000;
    g_autofree char *text = dhcp_lease_format(lease);
    g_autoptr(GError) error = NULL;
    g_autoptr(dhcp_lease) again = dhcp_lease_parse(text, &error);
    g_assert_no_error(error);
    g_autoptr(dhcp_lease) copy = dhcp_lease_copy(again);
    g_autofree char *text_again = dhcp_lease_format(copy);
    g_assert_cmpstr(text, ==, text_again);
    g_assert_null(dhcp_lease_parse("", NULL));
    g_assert_null(dhcp_lease_parse("[lease]\naddress=224.0.0.1/24\nserver=10.0.0.1\nlifetime=7\n", NULL));
    g_assert_null(dhcp_lease_parse("[lease]\naddress=10.0.0.5/24\nserver=10.0.0.1\n", NULL));

    /* Names that would mean something to whoever reads them, an MTU nothing gets through, no mask. */
    static const char *const names[] = {"$(reboot)", "a b", "..", "a..b", "-rf", "a\nb", "ü", ""};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        message = ack();
        dhcp_message_set(message, DHCP_OPTION_DOMAIN, names[i], strlen(names[i]));
        dhcp_message_set(message, DHCP_OPTION_HOSTNAME, names[i], strlen(names[i]));
        dhcp_message_set_u16(message, DHCP_OPTION_MTU, 68);
        dhcp_message_set(message, DHCP_OPTION_DNS, "12345", 5);
        g_clear_pointer(&message->options[DHCP_OPTION_MASK], g_bytes_unref);
        g_autoptr(dhcp_lease) odd = lease_of(message, NULL);
        g_assert_null(odd->domain);
        g_assert_null(odd->hostname);
        g_assert_cmpuint(odd->mtu, ==, 0);
        g_assert_cmpuint(odd->dns->len, ==, 0);
        g_assert_cmpuint(odd->length, ==, 8);
        g_assert_cmpuint(odd->notes->len, ==, 5);
    }
    /* A /32 and a /31 have no broadcast address. */
    message = ack();
    dhcp_message_set_u32(message, DHCP_OPTION_MASK, 0xffffffff);
    g_autoptr(dhcp_lease) single = lease_of(message, NULL);
    g_assert_cmpuint(single->length, ==, 32);
    g_assert_cmpuint(single->broadcast, ==, 0);
}

/* ---- identifiers ---- */

static void test_settings(void)
{
    static const struct hostnet_mac mac = REPLY_MAC;
    struct dhcp_settings settings, again;
    dhcp_settings_default(&settings, &mac);
    static const uint8_t by_mac[] = {1, 0x52, 0x55, 0x00, 0xd1, 0x55, 0x01};
    g_assert_cmpmem(settings.client_id, settings.client_id_length, by_mac, sizeof by_mac);
    g_assert_true(dhcp_settings_parse_client_id(&settings, "duid", NULL, NULL));
    static const uint8_t link_layer[] = {255, 0,    0xd1, 0x55, 0x01, 0,    3,   0,
                                         1,   0x52, 0x55, 0x00, 0xd1, 0x55, 0x01};
    g_assert_cmpmem(settings.client_id, settings.client_id_length, link_layer, sizeof link_layer);
    g_assert_true(dhcp_settings_parse_client_id(&settings, "duid", "0123456789abcdef", NULL));
    g_assert_cmpuint(settings.client_id_length, ==, 1 + 4 + 2 + 16);
    g_assert_cmpuint(settings.client_id[6], ==, 4);
    again = settings;
    g_assert_true(dhcp_settings_parse_client_id(&again, "duid", "another", NULL));
    g_assert_true(memcmp(again.client_id, settings.client_id, settings.client_id_length) != 0);
    g_assert_true(dhcp_settings_parse_client_id(&settings, "01:AB", NULL, NULL));
    g_assert_cmpmem(settings.client_id, settings.client_id_length, "\x01\xab", 2);
    g_assert_true(dhcp_settings_parse_client_id(&settings, "printer", NULL, NULL));
    g_assert_cmpmem(settings.client_id, settings.client_id_length, "\0printer", 8);
    g_assert_false(dhcp_settings_parse_client_id(&settings, "", NULL, NULL));
    g_autofree char *longest = g_strnfill(64, 'x');
    g_assert_false(dhcp_settings_parse_client_id(&settings, longest, NULL, NULL));
    g_assert_true(dhcp_settings_set_hostname(&settings, "web-1.example.org", NULL));
    g_assert_cmpstr(settings.hostname, ==, "web-1");
    g_assert_false(dhcp_settings_set_hostname(&settings, "a b", NULL));
    g_assert_false(dhcp_settings_set_hostname(&settings, longest, NULL));
    settings.address = ADDRESS;
    settings.server = SERVER;
    settings.broadcast = true;
    settings.probe_ms = 0;
    g_autofree char *text = dhcp_settings_format(&settings);
    dhcp_settings_default(&again, &mac);
    g_assert_true(dhcp_settings_parse(&again, text, NULL));
    g_autofree char *text_again = dhcp_settings_format(&again);
    g_assert_cmpstr(text, ==, text_again);
    g_assert_false(dhcp_settings_parse(&again, "rubbish", NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dhcp/message/round-trip", test_round_trip);
    g_test_add_func("/dhcp/message/wire", test_wire);
    g_test_add_func("/dhcp/message/overload", test_overload);
    g_test_add_func("/dhcp/message/malformed", test_malformed);
    g_test_add_func("/dhcp/packet", test_packet);
    g_test_add_func("/dhcp/arp", test_arp);
    g_test_add_func("/dhcp/lease/refused", test_refused_leases);
    g_test_add_func("/dhcp/lease/times", test_times);
    g_test_add_func("/dhcp/lease/routes", test_routes);
    g_test_add_func("/dhcp/lease/search", test_search);
    g_test_add_func("/dhcp/lease/rest", test_rest_of_lease);
    g_test_add_func("/dhcp/settings", test_settings);
    return g_test_run();
}
