#!/bin/sh
# Rebuilds prebuilt/<name>.elf for every guest (or those named) with riscv64-unknown-elf-gcc, and the list of checksums.
# usage: build.sh [-o directory] [name ...]       STRIP= keeps the symbols
set -eu
cd "$(dirname "$0")"
out=prebuilt
if [ "${1:-}" = -o ]; then out=$2; shift 2; fi
only=$*
names=${*:-$(for f in */*.c; do d=${f%/*}; [ "$d" = runtime ] || echo "$d"; done)}
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
gcc() {
  riscv64-unknown-elf-gcc -march=${march-rv64imac_zicsr_zifencei} -mabi=${mabi-lp64} -O2 -Wall -Wextra -Werror -ffreestanding -fno-ident \
    -fno-tree-loop-distribute-patterns -nostdlib -nostartfiles -static -Wl,--build-id=none "$@"
}
for name in $names; do
  # Only one guest has floating point, so that the others run where there is none.
  if [ "$name" = float ]; then march=rv64gc_zicsr_zifencei mabi="lp64d -fno-math-errno"; else unset march mabi; fi
  gcc -mcmodel=medany -c -o "$objects/start.o" runtime/start.S
  gcc -mcmodel=medany -c -o "$objects/runtime.o" runtime/runtime.c
  gcc -mcmodel=medany ${STRIP--s} -Iruntime -Wl,--no-warn-rwx-segments -Wl,-z,max-page-size=4096 -T runtime/guest.ld \
    -o "$out/$name.elf" "$objects/start.o" "$objects/runtime.o" "$name/$name.c"
done
unset march mabi
# The first process of the Linux guest: a user program, not a machine's.
if [ -z "$only" ]; then gcc -s -o "$out/linux-init.elf" ../linux/init.c; fi
if [ "$out" = prebuilt ]; then (cd prebuilt && sha256sum ./*.elf | sed 's,\./,,' >SHA256SUMS); fi
