/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * ACPI and SMBIOS tables for firmware to place: fw_cfg's etc/table-loader, etc/acpi and etc/smbios files.
 */
#pragma once

#include "emu/dev/fwcfg.h"
#include "emu/machine/acpi.h"

/* Sets the ACPI files, the first time and again when `config` has changed (their sizes do not). */
bool romtables_set_acpi(struct fwcfg *fw, const struct acpi_config *config, GError **error);
/* uuid: 16 bytes, big-endian as printed; ram_size in bytes. */
bool romtables_set_smbios(struct fwcfg *fw, const uint8_t uuid[16], uint64_t ram_size, GError **error);
