#!/usr/bin/env bash
# Does src/Makevars list exactly the objects of the sources in src? make cannot
# look into folders portably, so the list is kept by hand.
set -u
cd "$(dirname "$0")/.." || exit 1

listed() {
  awk '/^OBJECTS *=/ { on = 1; sub(/^OBJECTS *=/, "") }
       on { more = sub(/\\$/, ""); for (i = 1; i <= NF; i++) print $i; if (!more) on = 0 }' src/Makevars |
    LC_ALL=C sort
}
present() {
  (cd src && find . \( -name '*.cpp' -o -name '*.c' \) | sed 's|^\./||; s|\.[a-z]*$|.o|') | LC_ALL=C sort
}

missing="$(comm -13 <(listed) <(present))"
extra="$(comm -23 <(listed | uniq) <(present))"
twice="$(listed | uniq -d)"
[ -n "$missing" ] && printf 'src/Makevars does not list:\n%s\n' "$missing"
[ -n "$extra" ] && printf 'src/Makevars lists what has no source:\n%s\n' "$extra"
[ -n "$twice" ] && printf 'src/Makevars lists twice:\n%s\n' "$twice"
[ -z "$missing$extra$twice" ]
