# shellcheck shell=bash disable=SC2154,SC2034  # shares its variables with scripts/compose-test
# An engine and compose, for scripts/compose-test: those that are there, or Debian's.

COMPOSE=() dockerd_pid='' run_dir='' forward_policy='' ip_forward='' had_docker0=0

use_client() { # puts this docker client first, and nothing else that lies beside it
  mkdir -p "$STATE/bin"
  ln -sfn "$1" "$STATE/bin/docker"
  PATH=$STATE/bin:$PATH
  hash -r
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >>"$STATE/apt.log" 2>&1 9>&-; }

apt_install() { # packages: installs those that are missing
  local need=() p
  for p; do dpkg-query -Wf '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || need+=("$p"); done
  [ ${#need[@]} = 0 ] && return 0
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
  say "apt: installing ${need[*]}"
  apt_get update || true
  apt_get install -y --no-install-recommends "${need[@]}"
}

main_mirror() { # the machine's own Debian mirror
  apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk '$2=="main" && $1 !~ /security/ {print $1; exit}'
}

fetch_compose_v2() { # the v2 binary out of a newer Debian suite, without adding that suite here
  local d=$STATE/v2 mirror
  [ -x "$STATE/docker-compose" ] && return 0
  command -v apt-get >/dev/null && mirror=$(main_mirror) && [ -n "$mirror" ] || return 1
  rm -rf "$d"
  mkdir -p "$d"/{lists,cache/archives,x}/partial
  printf 'deb [signed-by=%s] %s %s main\n' /usr/share/keyrings/debian-archive-keyring.gpg "$mirror" trixie >"$d/sources.list"
  cat >"$d/apt.conf" <<EOF
Dir::Etc::sourcelist "$d/sources.list"; Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null"; Dir::State::lists "$d/lists"; Dir::Cache "$d/cache";
APT::Sandbox::User "root";
EOF
  say "fetching compose v2 from Debian trixie"
  (cd "$d" && export APT_CONFIG=$d/apt.conf && apt_get update && apt_get download docker-compose &&
    dpkg-deb -x docker-compose_*.deb x) || return 1
  cp "$(find "$d/x" -type f -name docker-compose -size +1M | head -n1)" "$STATE/docker-compose" || return 1
  rm -rf "$d"
  "$STATE/docker-compose" version >/dev/null 2>&1 || { rm -f "$STATE/docker-compose"; return 1; }
}

pick_compose() {
  if [ "$want" != v1 ]; then
    if docker compose version >/dev/null 2>&1; then COMPOSE=(docker compose); return; fi
    if docker-compose version --short 2>/dev/null | grep -q '^v\{0,1\}[2-9]'; then COMPOSE=(docker-compose); return; fi
    if fetch_compose_v2; then COMPOSE=("$STATE/docker-compose"); return; fi
    [ "$want" = auto ] || skip "no compose v2"
  fi
  apt_install docker-compose || skip "no docker-compose"
  COMPOSE=(docker-compose)
}

pick_builder() { # v1 calls the docker client to build; clients from 23 on need buildx for BuildKit
  export COMPOSE_DOCKER_CLI_BUILD=1 DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-1}
  docker buildx version >/dev/null 2>&1 && return
  if [ -x /usr/bin/docker ] && /usr/bin/docker --version | grep -q 'version 20\.'; then
    use_client /usr/bin/docker # Debian's, which has it built in
  else
    DOCKER_BUILDKIT=0
  fi
}

start_daemon() {
  [ "$(id -u)" = 0 ] || skip "no docker daemon answers, and only root can start one"
  apt_install docker.io iptables iproute2 ca-certificates || skip "docker.io cannot be installed (see $STATE/apt.log)"
  # Debian's client belongs to Debian's daemon (a much newer one may refuse to talk to it).
  [ ! -x /usr/bin/docker ] || use_client /usr/bin/docker
  local sock=${DOCKER_HOST:-unix:///var/run/docker.sock} dev mtu=1500
  case $sock in unix://*) ;; *) skip "nothing answers at $sock" ;; esac
  # Only needed where init has mounted no cgroups (a plain chroot or a bare container).
  if ! grep -q ' /sys/fs/cgroup' /proc/mounts; then
    say "mounting the cgroup tree"
    if ! apt_install cgroupfs-mount || ! cgroupfs-mount; then skip "no cgroups"; fi
  fi
  # A smaller MTU on the way out than the bridge's 1500 makes large transfers hang where no ICMP
  # comes back: the bridge gets the uplink's.
  dev=$(ip route show default 2>/dev/null | awk '{for(i=1;i<NF;i++)if($i=="dev"){print $(i+1);exit}}')
  [ -z "$dev" ] || mtu=$(ip -o link show dev "$dev" | awk '{for(i=1;i<NF;i++)if($i=="mtu")print $(i+1)}')
  # dockerd sets these, and leaves them so.
  ip_forward=$(cat /proc/sys/net/ipv4/ip_forward)
  forward_policy=$(iptables -S FORWARD 2>/dev/null | awk '$1=="-P"{print $3}')
  if ip link show docker0 >/dev/null 2>&1; then had_docker0=1; fi
  # A run that was killed leaves numbers of processes behind, which others may have by now.
  for run_dir in "$STATE"/run.*; do remove_folder "$run_dir"; done
  run_dir=$(mktemp -d "$STATE/run.XXXX")
  mkdir -p "$DATA_ROOT"
  say "starting dockerd (data root $DATA_ROOT, mtu $mtu)"
  setsid dockerd -H "$sock" --data-root "$DATA_ROOT" --exec-root "$run_dir" \
    --pidfile "$run_dir/dockerd.pid" --mtu "$mtu" >"$STATE/dockerd.log" 2>&1 </dev/null 9>&- &
  dockerd_pid=$!
  for _ in $(seq 300); do
    docker info >/dev/null 2>&1 && return
    kill -0 "$dockerd_pid" 2>/dev/null || break
    sleep 0.2
  done
  grep -E 'level=(error|fatal)|failed' "$STATE/dockerd.log" | tail -n 5 >&2 || true
  skip "dockerd did not start (see $STATE/dockerd.log)"
}

stop_daemon() { # the one that was started here, and what it leaves behind
  [ -n "$dockerd_pid" ] && [ "$keep" = 0 ] || return 0
  kill "$dockerd_pid" 2>/dev/null
  for _ in $(seq 150); do kill -0 "$dockerd_pid" 2>/dev/null || break; sleep 0.2; done
  if kill -0 "$dockerd_pid" 2>/dev/null; then say "dockerd would not stop: killed"; kill -9 "$dockerd_pid"; fi
  [ "$had_docker0" = 1 ] || ip link delete docker0 2>/dev/null
  [ -z "$forward_policy" ] || iptables -P FORWARD "$forward_policy"
  [ -z "$ip_forward" ] || echo "$ip_forward" >/proc/sys/net/ipv4/ip_forward
  remove_folder "$run_dir"
  if [ "$purge" = 1 ]; then remove_folder "$DATA_ROOT"; fi
}

remove_folder() { # and what is mounted below it
  awk -v d="$1/" 'index($2,d)==1{print $2}' /proc/mounts | sort -r | xargs -r umount
  rm -rf --one-file-system "$1"
}
