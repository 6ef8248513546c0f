#!/usr/bin/env bash
# Does src/Makevars list exactly the objects of the sources in src, those aside that
# a bundle_*.cpp includes? make cannot look into folders portably, so the lists are kept by hand.
set -u
cd "$(dirname "$0")/.." || exit 1

listed() {
  awk '/^OBJECTS *=/ { on = 1; sub(/^OBJECTS *=/, "") }
       on { more = sub(/\\$/, ""); for (i = 1; i <= NF; i++) print $i; if (!more) on = 0 }' src/Makevars |
    LC_ALL=C sort
}
bundled() {
  sed -n 's|^#include "\(.*\)\.cpp"$|\1.o|p' src/bundle_*.cpp | LC_ALL=C sort
}
present() {
  (cd src && find . \( -name '*.cpp' -o -name '*.c' \) | sed 's|^\./||; s|\.[a-z]*$|.o|') | LC_ALL=C sort
}

all() {
  { listed; bundled; } | LC_ALL=C sort
}

missing="$(comm -13 <(all) <(present))"
extra="$(comm -23 <(all | uniq) <(present))"
twice="$(all | uniq -d)"
[ -n "$missing" ] && printf 'src/Makevars does not list:\n%s\n' "$missing"
[ -n "$extra" ] && printf 'src/Makevars lists what has no source:\n%s\n' "$extra"
[ -n "$twice" ] && printf 'src/Makevars lists twice:\n%s\n' "$twice"
[ -z "$missing$extra$twice" ]
