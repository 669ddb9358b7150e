/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * QEMU's words that this machine has no use for, each with the reason it is told by. docs/control.md has the
 * same list, and tests/unit/check_control.py holds both against the QEMU that is installed.
 */
#include "emu/control/control_internal.h"

#include <string.h>

static const char jobs[] = "images are changed while the machine is off (qemu-img), but for commit, "
                           "block_resize and snapshots in them",
                  drives[] = "drives are those of the command line; change and eject exchange media",
                  moves[] = "machines are saved by migrate, standing still; there is nothing to choose",
                  balloon[] = "memory stays as -m says: there is no balloon",
                  nbd[] = "images are not served; qemu-nbd does it while the machine is off",
                  replay[] = "nothing is recorded or replayed", sound[] = "there is no sound",
                  counts[] = "no such counters are kept; see info statistics",
                  virtio[] = "there is no virtio", rocker[] = "there is no Rocker switch",
                  host[] = "only the host's kernel knows; gpa2hva tells the address in this process";

static const struct {
    const char *const *words; /* ends with NULL */
    const char *why;
} commands[] =
    {
        {(const char *const[]){"balloon", NULL}, balloon},
        {(const char *const[]){"block_job_cancel", "block_job_complete", "block_job_pause",
                               "block_job_resume", "block_job_set_speed", "block_stream", "drive_backup",
                               "drive_mirror", "snapshot_blkdev", "qemu-io", NULL},
         jobs},
        {(const char *const[]){"drive_add", "drive_del", NULL}, drives},
        {(const char *const[]){"calc_dirty_rate", "cancel_vcpu_dirty_limit", "client_migrate_info",
                               "migrate_continue", "migrate_pause", "migrate_recover",
                               "migrate_set_capability", "migrate_set_parameter", "migrate_start_postcopy",
                               "set_vcpu_dirty_limit", "x_colo_lost_heartbeat", NULL},
         moves},
        {(const char *const[]){"dumpdtb", NULL}, "a PC has no device tree"},
        {(const char *const[]){"exit_preconfig", NULL}, "there is no -preconfig; -S waits for cont"},
        {(const char *const[]){"getfd", NULL}, "descriptors come with QMP's getfd, over a UNIX socket"},
        {(const char *const[]){"gpa2hpa", NULL}, host},
        {(const char *const[]){"mce", NULL}, "the CPU has no machine-check banks"},
        {(const char *const[]){"nbd_server_add", "nbd_server_remove", "nbd_server_start", "nbd_server_stop",
                               NULL},
         nbd},
        {(const char *const[]){"pcie_aer_inject_error", NULL}, "there is no PCI Express"},
        {(const char *const[]){"qom-set", NULL},
         "properties are set on the command line, and by commands of their own"},
        {(const char *const[]){"replay_break", "replay_delete_break", "replay_seek", NULL}, replay},
        {(const char *const[]){"singlestep", NULL}, "it is chosen at the start: -singlestep"},
        {(const char *const[]){"stopcapture", "wavcapture", NULL}, sound},
        {(const char *const[]){"sync-profile", NULL},
         "one thread owns the machine: there are no locks to measure"},
},
  infos[] = {
      {(const char *const[]){"balloon", NULL}, balloon},
      {(const char *const[]){"capture", NULL}, sound},
      {(const char *const[]){"dirty_rate", "migrate_capabilities", "migrate_parameters", "vcpu_dirty_limit",
                             NULL},
       moves},
      {(const char *const[]){"irq", "opcount", "profile", "stats", NULL}, counts},
      {(const char *const[]){"rdma", NULL}, "there is no RDMA"},
      {(const char *const[]){"replay", NULL}, replay},
      {(const char *const[]){"rocker", "rocker-of-dpa-flows", "rocker-of-dpa-groups", "rocker-ports", NULL},
       rocker},
      {(const char *const[]){"sev", "sgx", NULL}, "the CPU has neither SEV nor SGX"},
      {(const char *const[]){"spice", NULL}, "there is no SPICE; see info vnc"},
      {(const char *const[]){"sync-profile", NULL},
       "one thread owns the machine: there are no locks to measure"},
      {(const char *const[]){"tpm", NULL}, "there is no TPM"},
      {(const char *const[]){"usb", "usbhost", NULL}, "there is no USB"},
      {(const char *const[]){"virtio", "virtio-queue-element", "virtio-queue-status", "virtio-status",
                             "virtio-vhost-queue-status", NULL},
       virtio},
      {(const char *const[]){"vm-generation-id", NULL}, "there is no generation ID; see info uuid"},
};

const char *monitor_absent(const char *word, bool info)
{
    size_t count = info ? G_N_ELEMENTS(infos) : G_N_ELEMENTS(commands);
    for (size_t i = 0; i < count; i++)
        for (const char *const *at = info ? infos[i].words : commands[i].words; *at; at++)
            if (g_str_equal(*at, word))
                return info ? infos[i].why : commands[i].why;
    return NULL;
}
