#!/bin/sh
# Rebuilds prebuilt/<name>.elf for every guest (or those named) with riscv64-unknown-elf-gcc, and the list of checksums.
# usage: build.sh [-o directory] [name ...]       STRIP= keeps the symbols
set -eu
cd "$(dirname "$0")"
out=prebuilt
if [ "${1:-}" = -o ]; then out=$2; shift 2; fi
names=${*:-$(for f in */*.c; do d=${f%/*}; [ "$d" = runtime ] || echo "$d"; done)}
for name in $names; do
  riscv64-unknown-elf-gcc -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany -O2 -Wall -Wextra -Werror \
    -ffreestanding -fno-tree-loop-distribute-patterns -nostdlib -nostartfiles -static ${STRIP--s} -Iruntime \
    -Wl,--build-id=none,--no-warn-rwx-segments -Wl,-z,max-page-size=4096 -T runtime/guest.ld \
    -o "$out/$name.elf" runtime/start.S runtime/runtime.c "$name/$name.c"
done
if [ "$out" = prebuilt ]; then (cd prebuilt && sha256sum ./*.elf | sed 's,\./,,' >SHA256SUMS); fi
