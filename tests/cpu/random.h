/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Random numbers from a seed, the same on every host: SplitMix64 (Steele, Lea, Flood, "Fast Splittable
 * Pseudorandom Number Generators", 2014). A test prints the seed of a case, and the seed repeats the case.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint32_t random32(struct random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)(z >> 31);
}

static inline bool random_percent(struct random *r, unsigned percent)
{
    return random32(r) % 100 < percent;
}

static inline bool random_one_in(struct random *r, unsigned n)
{
    return random32(r) % n == 0;
}
