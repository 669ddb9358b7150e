#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
# build.sh OUTDIR: compiles the kernels for both platforms.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1
mkdir -p "$out"
flags=(-m32 -march=i686 -O2 -std=gnu17 -Wall -Wextra -ffreestanding -fno-pic -no-pie -fno-stack-protector -fcf-protection=none
       -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -nostdlib -static)
# One object file for both: the very same machine code.
gcc "${flags[@]}" -c -o "$out/kernels.o" "$here/kernels.c"
gcc "${flags[@]}" -o "$out/bench-native" "$here/platform_native.c" "$out/kernels.o"
gcc "${flags[@]}" -Wl,-T,"$here/bare.ld" -Wl,--build-id=none -Wl,--no-warn-rwx-segments -o "$out/bench.elf" "$here/platform_bare.c" "$out/kernels.o"
