/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Pictures of the screen in files: PNG by libpng, and PPM (netpbm's P6). Errors of libpng come back by
 * longjmp to write_png(), whose locals that change after setjmp are therefore none.
 */
#include "emu/display/display.h"
#include "emu/fdset.h"

#include <fcntl.h>
#include <errno.h>
#include <gio/gio.h>
#include <png.h>
#include <stdio.h>
#include <string.h>

static void line_of(const struct display_surface *s, unsigned y, uint8_t *out)
{
    for (unsigned x = 0; x < s->width; x++) {
        uint32_t pixel = s->pixels[(size_t)y * s->width + x];
        *out++ = (uint8_t)(pixel >> 16);
        *out++ = (uint8_t)(pixel >> 8);
        *out++ = (uint8_t)pixel;
    }
}

static void quiet(png_structp png, png_const_charp text)
{
}

static bool write_png(const struct display_surface *s, FILE *file, uint8_t *line)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, quiet);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return false;
    }
    png_init_io(png, file);
    png_set_IHDR(png, info, s->width, s->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(png, 1);
    png_write_info(png, info);
    for (unsigned y = 0; y < s->height; y++) {
        line_of(s, y, line);
        png_write_row(png, line);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return true;
}

static bool write_ppm(const struct display_surface *s, FILE *file, uint8_t *line)
{
    fprintf(file, "P6\n%u %u\n255\n", s->width, s->height);
    for (unsigned y = 0; y < s->height; y++) {
        line_of(s, y, line);
        if (fwrite(line, 3, s->width, file) != s->width)
            return false;
    }
    return true;
}

bool display_write_image(const struct display_surface *surface, const char *path, const char *format,
                         GError **error)
{
    g_autofree char *lower = g_ascii_strdown(path, -1);
    bool png = format ? g_str_equal(format, "png") : g_str_has_suffix(lower, ".png");
    if (format && !png && !g_str_equal(format, "ppm")) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "no format '%s' of pictures; there are png and ppm", format);
        return false;
    }
    int fd = fdset_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    int why = errno;
    bool good = file != NULL;
    if (file) {
        g_autofree uint8_t *line = g_malloc(3 * (size_t)surface->width);
        errno = 0;
        good = png ? write_png(surface, file, line) : write_ppm(surface, file, line);
        why = errno;
        if (fclose(file) && good) {
            why = errno;
            good = false;
        }
    }
    if (!good)
        g_set_error(
            error, G_IO_ERROR, g_io_error_from_errno(why),
            "writing a picture of the screen to %s: %s (name a file in a folder that can be written to)",
            path, why ? g_strerror(why) : "it could not be made");
    return good;
}
