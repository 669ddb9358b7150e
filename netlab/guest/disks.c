/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Disks and CDs by where they are plugged in.
 *
 * Linux looks for disks in the background and calls the first that it meets sda, so names change from start
 * to start. The place does not: SCSI host 0 and 1 are IDE's two channels (libata, in the order of their
 * ports), target 0 and 1 the devices on each. For every drive that the host has told of ("drive ide0-hd1")
 * there is a link /dev/disk/ide0-hd1.
 */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TURNS = 1000, TURN_US = 10000 }; /* ten seconds */

static bool look(unsigned channel, unsigned device, char name[DISK_NAME])
{
    char path[64];
    snprintf(path, sizeof path, "/sys/bus/scsi/devices/%u:0:%u:0/block", channel, device);
    DIR *dir = opendir(path);
    struct dirent *entry;
    bool found = false;
    while (dir && !found && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= DISK_NAME)
            continue;
        strcpy(name, entry->d_name);
        snprintf(path, sizeof path, "/dev/%s", name);
        found = access(path, F_OK) == 0;
    }
    if (dir)
        closedir(dir);
    return found;
}

bool disk_find(unsigned channel, unsigned device, char name[DISK_NAME])
{
    for (int i = 0; i < TURNS; i++) {
        if (look(channel, device, name))
            return true;
        usleep(TURN_US);
    }
    return false;
}

void disks_link(const struct guest_config *config)
{
    if (!config->drive_count || access("/sys/bus/scsi", F_OK) != 0)
        return; /* no driver */
    mkdir("/dev/disk", 0755);
    for (unsigned i = 0; i < config->drive_count; i++) {
        const struct guest_drive *drive = &config->drive[i];
        char name[DISK_NAME], link[64], target[64];
        if (drive->is_cd && access("/sys/bus/scsi/drivers/sr", F_OK) != 0) {
            char *const modprobe[] = {"modprobe", "-a", "sr_mod", "isofs", NULL};
            guest_run(modprobe);
        }
        if (!disk_find(drive->channel, drive->device, name)) {
            guest_log("no disk at ide%u, device %u", drive->channel, drive->device);
            continue;
        }
        snprintf(link, sizeof link, "/dev/disk/ide%u-%s%u", drive->channel, drive->is_cd ? "cd" : "hd",
                 drive->device);
        snprintf(target, sizeof target, "../%s", name);
        if (symlink(target, link) != 0 && errno != EEXIST)
            guest_log("%s: %s", link, strerror(errno));
    }
}
