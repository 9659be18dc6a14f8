#!/usr/bin/env bash
# Install Apptainer on Debian 12 and make it usable for every user of this machine. Needs root; a second call changes nothing.
#
# Debian 12 has no package of Apptainer, and that of Debian unstable asks for a newer C library. Here that package gets a C
# library of its own, in a folder that only its two programs look into, and becomes an ordinary package that `apt-get remove
# apptainer` takes away again. The C library of the machine stays as it is.
#
# Usage: apptainer.sh [--keep FOLDER]
#   --keep FOLDER   keep the package there, and take it from there the next time: nothing but Debian 12 is then needed
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

fail() { echo "apptainer.sh: $2" >&2; exit "$1"; }
note() { echo "apptainer.sh: $1 (${SECONDS} s)"; }

keep=""
if [ "${1:-}" = --keep ] && [ "$#" -eq 2 ]; then
  mkdir -p "$2"
  keep=$(cd "$2" && pwd)
elif [ "$#" -gt 0 ]; then
  fail 2 "found '$*', expected nothing or --keep FOLDER"
fi
[ "$(id -u)" -eq 0 ] || fail 6 "only root may install Apptainer; ask the administrator of this machine for version 1.3 or newer"

# The address from which this machine gets Debian, whatever the form of its list of sources.
debian_address() {
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

# Fetch a package of another suite without letting the package manager of the machine know of it.
fetch_packages() { # FOLDER ADDRESS
  local folder=$1 address=$2 suite
  mkdir -p "$folder"/lists/partial "$folder"/cache/archives/partial "$folder"/sources
  for suite in sid trixie; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $address $suite main" >>"$folder/sources/other.list"
  done
  local apart=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$folder/sources" -o "Dir::State::Lists=$folder/lists"
    -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none
    -o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false) # mirrors lag, and so do clocks
  apt-get "${apart[@]}" update -qq
  (cd "$folder" && apt-get "${apart[@]}" download -qq apptainer/sid libc6/trixie libseccomp2/trixie libsqlite3-0/trixie)
}

# Make one package of the four; print its name.
repack() { # FOLDER
  local folder=$1 own=/usr/lib/x86_64-linux-gnu/apptainer/own-libc name program version
  local tree=$folder/tree
  dpkg-deb --raw-extract "$folder"/apptainer_*.deb "$tree"
  mkdir -p "$tree$own"
  for name in libc6 libseccomp2 libsqlite3-0; do
    dpkg-deb --extract "$folder/$name"_*.deb "$folder/$name"
    find "$folder/$name" -regextype egrep -regex '.*/x86_64-linux-gnu/(ld-linux|lib)[^/]*\.so[^/]*' -exec cp --no-dereference --preserve=mode,links {} "$tree$own" \;
  done
  for program in usr/bin/apptainer usr/lib/x86_64-linux-gnu/apptainer/bin/starter; do
    patchelf --set-interpreter "$own/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$own" "$tree/$program"
  done
  version=$(dpkg-deb --field "$folder"/apptainer_*.deb Version)+bookworm
  sed -i -E -e "s/^Version: .*/Version: $version/" -e 's/libc6 \(>= [^)]*\)/libc6/; s/libseccomp2 \(>= [^)]*\)/libseccomp2/; s/libsqlite3-0 \(>= [^)]*\)/libsqlite3-0/' "$tree/DEBIAN/control"
  (cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree" "$folder/apptainer_${version}_amd64.deb" >/dev/null
  echo "$folder/apptainer_${version}_amd64.deb"
}

install_apptainer() {
  grep -q '^VERSION_CODENAME=bookworm' /etc/os-release || fail 6 "this installer knows Debian 12; install Apptainer 1.3 or newer by the means of this system"
  [ "$(dpkg --print-architecture)" = amd64 ] || fail 6 "this installer knows amd64 processors only"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends patchelf squashfs-tools squashfuse fuse3 fuse2fs fuse-overlayfs gocryptfs uidmap \
    containernetworking-plugins iptables debootstrap fakeroot ca-certificates e2fsprogs libcap2-bin busybox-static openssl >/dev/null
  local package
  package=$([ -z "$keep" ] || find "$keep" -name 'apptainer_*+bookworm_amd64.deb' | sort | tail -1)
  if [ -z "$package" ]; then
    local address
    address=$(debian_address)
    [ -n "$address" ] || fail 6 "no Debian address among the package sources of this machine (apt-get indextargets)"
    folder=$(mktemp -d) # not local: removed when the script ends
    chmod 755 "$folder"
    trap 'rm -rf "$folder"' EXIT
    fetch_packages "$folder" "$address"
    package=$(repack "$folder")
    [ -z "$keep" ] || cp "$package" "$keep/"
  fi
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null
}

# What Apptainer needs of the machine; done at each call, because a restart of the machine undoes the first one.
settle() {
  local file bounding all
  [ -e /dev/fuse ] || mknod /dev/fuse c 10 229
  chmod 0666 /dev/fuse # images are mounted by the user who runs them
  for file in /etc/subuid /etc/subgid; do # builds map the users of the image
    grep -qs '^root:' "$file" || echo root:1000000:65536 >>"$file"
  done
  [ -d /run/systemd/system ] || sed -i 's/^systemd cgroups = yes/systemd cgroups = no/' /etc/apptainer/apptainer.conf
  # In a virtual machine or a container root may lack capabilities; Apptainer must then ask for no more than there are.
  bounding=$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status)
  all=$(printf '%016x' $(((1 << ($(cat /proc/sys/kernel/cap_last_cap) + 1)) - 1)))
  if [ "$bounding" != "$all" ]; then
    capsh --decode="$bounding" | sed -e 's/.*=//' -e 's/,/","/g' -e 's/.*/{"users":{"root":["\U&"]}}/' >/etc/apptainer/capability.json
    sed -i 's/^root default capabilities = .*/root default capabilities = file/' /etc/apptainer/apptainer.conf
  fi
}

if dpkg-query -W -f '${Status}' apptainer 2>/dev/null | grep -q 'ok installed' || command -v apptainer >/dev/null; then
  note "Apptainer is here already"
else
  install_apptainer
fi
[ ! -f /etc/apptainer/apptainer.conf ] || settle
note "$(apptainer --version)"
