#!/usr/bin/env bash
# Unpacks an archive of Linux into an empty root, with a shell and the C library and nothing else, and does there what a new user does:
#   isonorm-cli/src/archive/try.sh isonorm-cli/target/isonorm-0.1.0-linux-x86_64.tar.gz
# Wants root, or a kernel that lets users have namespaces.
set -eu

if [ -z "${INSIDE-}" ]; then # with mounts of its own, which end with it
    user=--map-root-user
    [ "$(id -u)" != 0 ] || user=
    INSIDE=yes exec unshare --mount $user "$0" "$@"
fi
archive=$(readlink -f "$1")
root=$(mktemp -d)
trap 'umount -l "$root/proc" "$root/dev/null" && rm -rf --one-file-system "$root"' EXIT
mkdir -p "$root"/{bin,tmp,home,dev,proc}
: > "$root/dev/null"
mount --rbind /proc "$root/proc" # the loader of programs asks there where a program lies
mount --bind /dev/null "$root/dev/null"

# A program with the libraries that it is linked to.
take() {
    local file=$1 library
    cp -L "$file" "$root/bin/"
    for library in $(ldd "$file" | grep -o '/[^ ]*'); do
        mkdir -p "$root${library%/*}"
        cp -nL "$library" "$root$library"
    done
}

for tool in sh uname readlink rm mkfifo tar gzip; do take "$(command -v $tool)"; done
# What a system's C library has beside it, libstdc++ too: all that native code is linked to.
for library in libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libstdc++.so.6 libgcc_s.so.1; do
    file=$(ldconfig -p | sed -n "s/^[[:space:]]*$library .*=> //p" | head -n 1)
    [ -z "$file" ] || { mkdir -p "$root${file%/*}"; cp -nL "$file" "$root$file"; }
done

chroot=$(command -v chroot || echo /usr/sbin/chroot)
inside() {
    env -i HOME=/home PATH=/bin "$chroot" "$root" "$@"
}

cp "$archive" "$root/home/archive.tar.gz"
inside tar -xzf /home/archive.tar.gz -C /home
rm "$root/home/archive.tar.gz"
name=$(ls "$root/home")
isonorm=/home/$name/isonorm
example=/home/$name/examples/shakespeare-gpt2
chmod -R a-w "$root/home/$name" # where a system installs it, its user may not write

inside "$isonorm" --version
inside "$isonorm" info "$example" > /dev/null
inside "$isonorm" generate "$example" --prompt "ROMEO:" --max-tokens 20
inside "$isonorm" convert "$example" /tmp/small --to pre-crmsnorm | tail -n 8
inside "$isonorm" train model.blocks=1 steps=3 out=/tmp/run --quiet
inside "$isonorm" doctor
unpacked=$(find "$root/home" -path "$root/home/$name" -prune -o -type f -size +1M -print)
[ -z "$unpacked" ] || { echo "it unpacked what lies in the archive already: $unpacked" >&2; exit 1; }
echo "all done in an empty root"
