/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * ACPI and SMBIOS tables for firmware to place: fw_cfg's etc/table-loader, etc/acpi and etc/smbios files.
 */
#pragma once

#include "emu/dev/fwcfg.h"
#include "emu/machine/acpi.h"
#include "emu/machine/smbios.h"

/* Sets the ACPI files, the first time and again when `config` has changed (their sizes do not). */
bool romtables_set_acpi(struct fwcfg *fw, const struct acpi_config *config, GError **error);
bool romtables_set_smbios(struct fwcfg *fw, const struct smbios_config *config, GError **error);
