/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Register files as rows: see regs.h. Rows are sorted by offset, so an access is a binary search over some
 * hundred rows; nothing is allocated. Machine thread only.
 */
#include "emu/dev/regs.h"

#include <glib.h>

static uint32_t row_count(const struct reg_row *row)
{
    return row->count ? row->count : 1;
}

void regs_check(const struct reg_file *file, size_t value_count)
{
    uint64_t end = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct reg_row *row = &file->rows[i];
        if (row->offset & 3)
            g_error("%s: register %s at offset 0x%x is not 32-bit aligned", file->name, row->name,
                    row->offset);
        if (i > 0 && row->offset < end)
            g_error("%s: register %s at offset 0x%x overlaps the row before it or is out of order",
                    file->name, row->name, row->offset);
        if ((size_t)row->index + row_count(row) > value_count)
            g_error("%s: register %s has index %u of %zu values", file->name, row->name, row->index,
                    value_count);
        end = (uint64_t)row->offset + 4ull * row_count(row);
    }
}

const struct reg_row *regs_find(const struct reg_file *file, uint32_t offset)
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct reg_row *row = &file->rows[middle];
        if (offset < row->offset)
            high = middle;
        else if ((offset - row->offset) / 4 >= row_count(row))
            low = middle + 1;
        else
            return row;
    }
    return NULL;
}

void regs_reset(const struct reg_file *file, uint32_t *values)
{
    for (size_t i = 0; i < file->count; i++) {
        const struct reg_row *row = &file->rows[i];
        for (uint32_t n = 0; n < row_count(row); n++)
            values[row->index + n] = row->reset;
    }
}

/* The category is a run-time value here, so the trace() macro, which pastes its name, does not fit. */
static bool traced(const struct reg_file *file)
{
    return G_UNLIKELY(trace_mask & (1ull << file->trace));
}

uint32_t regs_read(const struct reg_file *file, uint32_t *values, void *device, uint32_t offset)
{
    const struct reg_row *row = regs_find(file, offset);
    if (!row) {
        if (traced(file))
            trace_write(file->trace, "%s: read of unknown register 0x%05x", file->name, offset);
        return 0;
    }
    uint32_t i = (offset - row->offset) / 4;
    uint32_t *stored = &values[row->index + i];
    uint32_t value = row->on_read ? row->on_read(device, i) : *stored;
    if (row->clear_on_read)
        *stored = 0;
    if (traced(file))
        trace_write(file->trace, "%s: %s[%u] -> 0x%08x", file->name, row->name, i, value);
    return value;
}

void regs_write(const struct reg_file *file, uint32_t *values, void *device, uint32_t offset, uint32_t value)
{
    const struct reg_row *row = regs_find(file, offset);
    if (!row) {
        if (traced(file))
            trace_write(file->trace, "%s: write of 0x%08x to unknown register 0x%05x", file->name, value,
                        offset);
        return;
    }
    uint32_t i = (offset - row->offset) / 4;
    uint32_t *stored = &values[row->index + i];
    if (traced(file))
        trace_write(file->trace, "%s: %s[%u] <- 0x%08x", file->name, row->name, i, value);
    uint32_t kept = *stored & ~(value & row->w1c);
    *stored = (kept & ~row->writable) | (value & row->writable);
    if (row->on_write)
        row->on_write(device, i, value);
}
