#!/usr/bin/env bash
# attributes.sh SOURCE… [-- OLDER NEWER]: prints src/condor/known_attributes.txt, the names of ClassAd attributes that
# HTCondor knows.
#   SOURCE        an unpacked source package of HTCondor (apt-get source condor)
#   OLDER NEWER   unpacked binary packages of two releases (dpkg-deb -x), for a release whose source is not to be had:
#                 what NEWER's programs have in their tables of strings, and OLDER's have not, counts as known
# It needs GNU grep, and binutils for programs.
set -euo pipefail
export LC_ALL=C

sources=() roots=()
while (($#)) && [[ $1 != -- ]]; do sources+=("$1") && shift; done
(($#)) && shift && roots=("$@")
((${#sources[@]} && (${#roots[@]} == 0 || ${#roots[@]} == 2))) || { sed -n '2,7s/^# //p' "$0" >&2 && exit 2; }

# These name resources of slots, and are read in the ads of machines only; of a job they are the site's own words.
of_machines='^(Request|Require|Detected|Offline|Total|TotalSlot|Consumption)$'

# A word in the shape of an attribute: at least two parts, so that sites keep Data, Log and the like. One that ends in
# _ is the beginning of names.
shaped='^[A-Z]+[a-z]+[A-Z]\w*$|^[A-Z]{3,}[a-z]{2,}\w*$|^[A-Z][A-Za-z]+_$'

names() { # defined names; beginnings and ends become patterns
  local defined='^\s*#\s*define\s+\KATTR_\w+\s+"\w+"' name value
  grep -oP "$defined" "$1/src/condor_includes/condor_attributes.h" | tr -d '"' | while read -r name value; do
    case ${name^^} in
      *_PREFIX) grep -qP "$of_machines" <<<"$value" || echo "$value*" ;;
      *_SUFFIX) echo "*$value" ;;
      *) echo "$value" ;;
    esac
  done
}

literals() { # words that are looked up or set by name in the programs through which a job passes
  grep -rhoP --include='*.h' --include='*.cpp' \
    '\b(Lookup|Assign|Insert|Eval|Delete|[GS]etAttribute)\w*\s*\(([^"();]*,)?\s*"\K\w+(?=")' \
    "$1"/src/condor_{schedd,submit}.V6 "$1"/src/condor_{shadow,starter}.V6.1 "$1"/src/condor_utils/{submit_,xform_}*.cpp |
    grep -P "$shaped"
}

words() { # what stands in the tables of strings of these programs
  local file table
  table=$(mktemp)
  for file in "$1"/usr/{bin/condor_submit,sbin/condor_{schedd,shadow,starter},lib/libcondor_utils_*.so}; do
    objcopy -O binary -j .rodata "$file" "$table"
    strings -a -n 4 "$table"
  done | grep -P "$shaped" | grep -vP '\d{3}|.{40}' | sort -u
  rm -f "$table"
}

release() { # of a source, or of programs
  sed -nE 's/^set\(VERSION "([0-9.]+)"\).*/\1/p' "$1/CMakeLists.txt" 2>/dev/null ||
    basename "$1"/usr/lib/libcondor_utils_*.so .so | sed 's/^libcondor_utils_//; s/_/./g'
}

newest=$(for root in "${sources[@]}" "${roots[@]}"; do release "$root"; done | sort -V | tail -n 1)
echo "# HTCondor $newest: attributes that it knows. Made by testbed/attributes.sh."
{
  for source in "${sources[@]}"; do names "$source" && literals "$source"; done
  ((${#roots[@]} == 0)) || comm -13 <(words "${roots[0]}") <(words "${roots[1]}")
} | sed -E 's/^([^*]*_)$/\1*/' | sort -uf
