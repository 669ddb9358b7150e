/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the importer: whatever a lab of another program says, there is one complaint, or a topology that our
 * own parser and check take whole. The first byte says whose lab it is.
 */
#include "netlab/import.h"
#include "netlab/topology_parse.h"

#include <string.h>

#include "tests/fuzz/fuzz_main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    g_autoptr(GError) error = NULL;
    enum import_kind kind = IMPORT_CONTAINERLAB + data[0] % 3;
    struct import_report *report = import_text(kind, (const char *)data + 1, size - 1, &error);
    if ((report != NULL) == (error != NULL) || g_error_matches(error, IMPORT_ERROR, IMPORT_ERROR_REFUSED))
        __builtin_trap();
    for (guint i = 0; report && i < report->notes->len; i++) {
        const struct import_note *note = report->notes->pdata[i];
        if (!note->what || !note->how || !note->mark.line || !note->mark.column)
            __builtin_trap();
    }
    if (report) {
        topology_auto struct topology *topology =
            topology_load_text("/nonexistent/topology.yml", "t", report->topology, NULL);
        if (!topology || topology->nodes->len != report->nodes || !report->nodes)
            __builtin_trap();
    }
    import_report_free(report);
    return 0;
}

FUZZ_MAIN(3000, 400)
