#!/bin/sh
# Runs one guest under qemu-system-riscv64 with OpenSBI, as an oracle for what Umbra must print.
# usage: qemu.sh guest.elf [harts] [bootargs]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
elf=$1 harts=${2:-1} bootargs=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
riscv64-unknown-elf-gcc -march=rv64imac_zicsr -mabi=lp64 -mcmodel=medany -nostdlib -static -Wl,-Ttext=0x83f00000 -Wl,--build-id=none -o "$work/shim.elf" "$here/qemu.S" 2>/dev/null
machine="-machine virt -m 64 -smp $harts -nographic -bios none"
qemu-system-riscv64 $machine -machine dumpdtb="$work/virt.dtb" 2>/dev/null
[ -z "$bootargs" ] || fdtput -t s "$work/virt.dtb" /chosen bootargs "$bootargs"
cpus=
for n in $(seq 0 $((harts - 1))); do cpus="$cpus -device loader,addr=0x83f00000,cpu-num=$n"; done
timeout "${TIMEOUT:-60}" qemu-system-riscv64 $machine -device loader,file="$elf" -device loader,file="$work/shim.elf" $cpus \
  -device loader,file="$work/virt.dtb",addr=0x83c00000,force-raw=on \
  -device loader,file=/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin,addr=0x83f80000,force-raw=on </dev/null
