"""The program in an image of the layers engine that prints the lock file: a shell script, the same in every image."""

from __future__ import annotations

from jupyter_condabuild.image.paths import PIP_LIST

LOCK_PROGRAM = r"""#!/bin/sh
# Prints the environment as an explicit lock file: conda create --name NAME --file FILE
case $(uname -m) in x86_64) machine=64 ;; *) machine=$(uname -m) ;; esac
echo "# platform: linux-$machine"
echo "@EXPLICIT"
# A line for each record: the name, the URL with the hash, and the names of the dependencies.
name='"name":"\([^"]*\)"' hash='"sha256":"\([0-9a-f]*\)",\("size":[0-9]*,\)*"subdir"' url='"url":"\([^"]*\)"'
needs='"depends":\[\(\("[^"]*",*\)*\)\]'
lines=$(sed -n \
    -e '/"noarch":"python"/s/"depends":\[/&"python",/' \
    -e "s/.*$needs.*$name.*$hash.*$url.*/\3 \6#\4 \1/;t found" \
    -e "s/.*$needs.*$name.*$url.*/\3 \4 \1/;t found" \
    -e "s/.*$name.*$hash.*$url.*/\1 \4#\2 /;t found" \
    -e "s/.*$name.*$url.*/\1 \2 /;t found" -e d \
    -e ':found' -e 's/# / /;s/"\([^]["=<>!~ ]*\)[^"]*",*/ \1/g;p' /opt/env/conda-meta/*.json)
set -f
newline='
'
IFS=$newline
all=' '
for line in $lines; do all="$all${line%% *} "; done
# conda installs packages in the order of the file: a package comes after its dependencies.
printed=' '
while [ -n "$lines" ]; do
    later= progress=
    for line in $lines; do
        package=${line%% *} rest=${line#* } open=
        IFS=' '
        for need in ${rest#* }; do
            case $all in *" $need "*) case "$printed$package " in *" $need "*) ;; *) open=yes ;; esac ;; esac
        done
        IFS=$newline
        if [ -z "$open" ] || [ -n "$forced" ]; then
            echo "${rest%% *}"
            printed="$printed$package " progress=yes forced=
        else
            later="$later$line$newline"
        fi
    done
    if [ -z "$progress" ]; then forced=yes; fi
    lines=$later
done
if [ -r PIP_LIST ]; then cat PIP_LIST; fi
""".replace("PIP_LIST", PIP_LIST)
"""It reads the records in conda-meta, each of which is one line with sorted keys, with nothing but sed and sh."""
