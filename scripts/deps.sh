#!/usr/bin/env bash
# Install what building, running and testing Ingot needs, from Debian's own packages.
# Does nothing, quickly and without a network, where all of it is present.
#     deps.sh --runtimes      also the large runtimes and servers (about 1 GB), whose tests are skipped without
set -euo pipefail

build=(gcc g++ make meson ninja-build pkg-config libc6-dev python3 libjansson-dev libzydis-dev libslirp-dev)
run=(qemu-system-x86 erofs-utils e2fsprogs)
check=(clang clang-format libclang-rt-14-dev codespell git gdb)
# Programs that the tests run unmodified, as a user would.
programs=(musl-tools busybox-static bash perl lua5.4 ruby sqlite3 libsqlite3-dev liblmdb-dev libleveldb-dev
          gawk jq openssl xz-utils zstd
          rustc procps tzdata ca-certificates libpython3-stdlib python3-jinja2 redis-server nginx-light memcached)
# Small runtimes and servers, some 110 MB; and large ones.
runtimes=(lua5.4 php-cli php-fpm erlang-base tcl ripgrep fd-find bat shellcheck graphviz tcc fish zsh unison-2.52 apache2-bin stress-ng sysbench)
large=(openjdk-17-jdk-headless golang-go ghc ocaml-nox r-base-core guile-3.0 sbcl postgresql-15 mariadb-server-core
       mariadb-client-core groovy default-jre-headless libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients)
# Servers and clients of the network tests, and what makes their networks.
network=(iproute2 curl wget netcat-openbsd openssh-server openssh-client iputils-ping tcpdump iperf3 redis-tools nodejs haproxy mosquitto
         mosquitto-clients dnsmasq-base lighttpd varnish tinyproxy
         squid gunicorn freeradius slapd unbound dns-root-data ruby-sinatra thin puma)
[ "${1:-}" = --runtimes ] || large=()

# What `ingot export` calls, and what judges its disks.
export=(qemu-utils libdeflate-tools xorriso ovmf gdisk dosfstools)

missing=()
for package in "${build[@]}" "${run[@]}" "${check[@]}" "${programs[@]}" "${network[@]}" \
    "${runtimes[@]}" "${large[@]}" "${export[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
        missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps: not root and no sudo; install by hand: ${missing[*]}" >&2
        exit 1
    }
    sudo=sudo
fi
echo "deps: installing ${missing[*]}"
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    "${missing[@]}" >/dev/null
