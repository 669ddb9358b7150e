/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* The half of guest_fp.c that is compiled for SSE2. */
#include <emmintrin.h>
#include <math.h>

void sse_arithmetic(unsigned rounds);
void hash_bytes(const void *data, unsigned length);

void sse_arithmetic(unsigned rounds)
{
    enum { N = 32 };
    static double a[N][N], b[N][N], c[N][N];
    for (unsigned i = 0; i < N; i++)
        for (unsigned j = 0; j < N; j++) {
            a[i][j] = 1.0 / (i + j + 1);
            b[i][j] = i * 0.3 - j * 0.7;
        }
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < N; i++)
            for (unsigned j = 0; j < N; j++) {
                double sum = 0;
                for (unsigned k = 0; k < N; k++)
                    sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
        hash_bytes(c, sizeof c);
        for (unsigned i = 0; i < N; i++)
            for (unsigned j = 0; j < N; j++)
                a[i][j] = c[i][j] / (1 + fabs(c[i][j]));
    }
    __m128i v = _mm_set_epi32(1, 2, 3, 4);
    __m128 f = _mm_set_ps(1, 2, 3, 4);
    for (unsigned i = 0; i < 1000; i++) {
        v = _mm_add_epi16(_mm_mullo_epi16(v, _mm_set1_epi16(0x1235)), _mm_srli_epi32(v, 3));
        v = _mm_xor_si128(v, _mm_shuffle_epi32(v, 0x39));
        f = _mm_add_ps(_mm_mul_ps(f, _mm_set1_ps(0.99f)), _mm_div_ps(_mm_set1_ps(1), f));
    }
    hash_bytes(&v, sizeof v);
    hash_bytes(&f, sizeof f);
}
