/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See capture_filter.h. The only file that knows libpcap. No interface is opened: frames come from elsewhere.
 */
#include "netlab/capture_filter.h"

#include <gio/gio.h>
#include <pcap/pcap.h>

enum { SNAP_LENGTH = 262144 };

struct capture_filter {
    struct bpf_program program;
};

struct capture_filter *capture_filter_new(const char *expression, GError **error)
{
    struct capture_filter *filter = g_new0(struct capture_filter, 1);
    pcap_t *handle = pcap_open_dead(DLT_EN10MB, SNAP_LENGTH);
    if (handle && pcap_compile(handle, &filter->program, expression, 1, PCAP_NETMASK_UNKNOWN) == 0) {
        pcap_close(handle);
        return filter;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "the filter \"%s\" is wrong: %s; man 7 pcap-filter has the words", expression,
                handle ? pcap_geterr(handle) : "out of memory");
    if (handle)
        pcap_close(handle);
    g_free(filter);
    return NULL;
}

void capture_filter_free(struct capture_filter *filter)
{
    if (!filter)
        return;
    pcap_freecode(&filter->program);
    g_free(filter);
}

bool capture_filter_matches(const struct capture_filter *filter, const uint8_t *data, size_t captured,
                            size_t length)
{
    struct pcap_pkthdr header = {.caplen = (bpf_u_int32)captured, .len = (bpf_u_int32)length};
    return pcap_offline_filter(&filter->program, &header, data) != 0;
}
