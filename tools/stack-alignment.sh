#!/usr/bin/env bash
# Fails where a compiled kernel keeps a vector of 32 or 64 bytes on the stack
# and moves it with an instruction that wants it aligned. Windows aligns stacks
# to 16 bytes and GCC there does not always make up for it (GCC bug 54412), so
# such a move can crash; kernels that keep vectors in registers have none.
#
#   tools/stack-alignment.sh [OBJECT ...]
#
# Without objects it compiles src/engine/kernels/kern_*.cpp with $CXX (g++) and
# $CXXFLAGS (-O2), the level that R compiles packages with.
set -eu
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
  objects=("$@")
else
  build="$(mktemp -d)"
  trap 'rm -rf "$build"' EXIT
  objects=()
  for source in src/engine/kernels/kern_*.cpp; do
    object="$build/$(basename "$source" .cpp).o"
    # shellcheck disable=SC2086 # the flags are words
    "${CXX:-g++}" -std=c++17 ${CXXFLAGS:--O2} -fPIC -Isrc/engine -c "$source" -o "$object"
    objects+=("$object")
  done
fi

# An aligned move names a vector register, and memory relative to the stack
# pointer, or to the frame pointer in a function that has one.
found=0
for object in "${objects[@]}"; do
  report="$(objdump -d --no-show-raw-insn -C "$object" | awk '
    /^[0-9a-f]+ <.*>:$/ { name = $0; sub(/^[0-9a-f]+ </, "", name); sub(/>:$/, "", name); frame = 0 }
    /mov +%rsp,%rbp/ { frame = 1 }
    /vmov(aps|apd|dqa|dqa32|dqa64|ntps|ntpd|ntdq|ntdqa) .*%[yz]mm/ {
      if ($0 ~ /\((%rsp|%rsp,[^)]*)\)/ || (frame && $0 ~ /\((%rbp|%rbp,[^)]*)\)/)) {
        if (!(name in count)) order[++functions] = name
        if (!(name in first)) first[name] = $0
        ++count[name]
      }
    }
    END {
      for (i = 1; i <= functions; ++i)
        printf "%6d in %s\n       first: %s\n", count[order[i]], order[i], first[order[i]]
    }')"
  moves="$(objdump -d --no-show-raw-insn "$object" | grep -c -E '%[yz]mm' || true)"
  if [ -n "$report" ]; then
    found=1
    echo "$(basename "$object"): aligned moves of vectors on the stack"
    printf '%s\n' "$report" | cut -c 1-160
  else
    echo "$(basename "$object"): none among $moves instructions on wide vectors"
  fi
done
exit "$found"
