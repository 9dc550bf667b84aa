# Sourced by scripts that unpack Debian packages without installing them: see setup-peers and setup-lab.

arch_lib=lib/$(gcc -print-multiarch)
lists_updated=

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The package lists may be absent (a fresh container) or older than the archive: then once, update them.
update_lists() {
    [ -z "$lists_updated" ] || return 1
    lists_updated=yes
    if [ "$(id -u)" -eq 0 ]; then
        apt-get -q update
    elif command -v sudo >/dev/null; then
        sudo apt-get -q update
    else
        return 1
    fi
}

# download PACKAGE DIR: leaves the .deb in DIR.
download() {
    local sandbox=()
    # apt's own user may not write to our folder.
    if [ "$(id -u)" -eq 0 ]; then
        sandbox=(-o APT::Sandbox::User=root)
    fi
    (cd "$2" && apt-get -qq "${sandbox[@]}" download "$1") && return
    update_lists && (cd "$2" && apt-get -qq "${sandbox[@]}" download "$1")
}

# unpack PACKAGE TREE: the package, then the libraries it depends on that are not on this machine, and theirs.
unpack() {
    local package=$1 tree=$2 deb dependency
    if [ -e "$tree/debs/$package" ]; then
        return
    fi
    mkdir -p "$tree/debs/$package"
    if ! download "$package" "$tree/debs/$package"; then
        echo "$0: cannot download the Debian package $package" >&2
        exit 1
    fi
    deb=$(echo "$tree/debs/$package"/*.deb)
    dpkg-deb -x "$deb" "$tree"
    # First alternative of each dependency, without version and architecture; only libraries matter here.
    for dependency in $(dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/:.*//' | grep -oE 'lib[^ ]+'); do
        if [[ $dependency != *-perl ]] && ! installed "$dependency"; then
            unpack "$dependency" "$tree"
        fi
    done
}

# tidy_tree TREE: the tree's own /lib holds udev rules and systemd units, of no use here, and in older packages libraries:
# these move to /usr/lib, and the name becomes the link that serves as search path.
tidy_tree() {
    mkdir -p "$1/usr/$arch_lib"
    if [ -d "$1/lib" ] && [ ! -L "$1/lib" ]; then
        find "$1/lib" -name '*.so*' -exec mv -t "$1/usr/$arch_lib" {} +
        rm -rf "${1:?}/lib"
    fi
    ln -sfn "usr/$arch_lib" "$1/lib"
}
