#!/bin/sh
# Builds integer.elf and float.elf, the bench guests, with riscv64-unknown-elf-gcc.
# usage: build.sh directory
set -eu
cd "$(dirname "$0")"
out=$1
runtime=../../examples/guests/runtime
gcc() {
  riscv64-unknown-elf-gcc -O2 -Wall -Wextra -Werror -ffreestanding -fno-ident -fno-tree-loop-distribute-patterns -fno-math-errno \
    -ffp-contract=off -nostdlib -nostartfiles -static -mcmodel=medany -I"$runtime" -Wl,--build-id=none -Wl,--no-warn-rwx-segments \
    -Wl,-z,max-page-size=4096 -s -T guest.ld "$@"
}
mkdir -p "$out"
gcc -march=rv64imac_zicsr_zifencei -mabi=lp64 -o "$out/integer.elf" "$runtime/start.S" "$runtime/runtime.c" main.c integer.c functions.c
gcc -march=rv64gc_zicsr_zifencei -mabi=lp64d -o "$out/float.elf" "$runtime/start.S" "$runtime/runtime.c" main.c float.c
