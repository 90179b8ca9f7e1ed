# shellcheck shell=bash
# Names, paths and small helpers shared by every lab command. Sourced, never run.
# Everything a lab owns is reached through LAB_DIR; nothing has a name of its own in the root network namespace.

LAB_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB_DIR=${LAB_DIR:-/var/tmp/deploy-agent-lab}
LAB_CACHE=${LAB_CACHE:-/var/cache/deploy-agent-lab}

# Ports are the same in every lab: they are on the loopback of the lab's own network namespaces.
REGISTRY_PORT=5000
REGISTRY_AUTH_PORT=5001
GIT_HTTP_PORT=3080
GIT_HTTPS_PORT=3443
GIT_SSH_PORT=3022
REGISTRY=127.0.0.1:$REGISTRY_PORT
REGISTRY_AUTH=127.0.0.1:$REGISTRY_AUTH_PORT

# Where the nodes see each other; node N is NODE_NET.N.
NODE_NET=192.168.77

# Debian's own client, not a newer one that may come first on the PATH.
LAB_DOCKER=/usr/bin/docker

umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

die() {
	printf 'lab: %s\n' "$*" >&2
	exit 1
}

# The directory is part of process titles and of unix socket paths (at most 107 bytes), so it is absolute, plain and short.
set_dir() {
	LAB_DIR=$(realpath -m -- "$1")
	[[ $LAB_DIR =~ ^/[A-Za-z0-9._/-]+$ ]] || die "directory $LAB_DIR: only letters, digits and ._/- please"
	((${#LAB_DIR} <= 80)) || die "directory $LAB_DIR: longer than 80 bytes, a unix socket below it would not bind"
	[[ $LAB_DIR != "$LAB_HOME"* && $LAB_HOME != "$LAB_DIR"/* ]] || die "directory $LAB_DIR: holds the lab's own programs"
	LAB_CGROUP=deploy-agent-lab-$(printf '%s' "$LAB_DIR" | sha256sum | cut -c1-8)
}

need_root() {
	((EUID == 0)) || die "needs root"
}

need_lab() {
	[[ -f $LAB_DIR/env ]] || die "no lab is up in $LAB_DIR"
}

# wait_until SECONDS WHAT COMMAND...: polls a condition; fails with WHAT after the deadline.
wait_until() {
	local limit=$1 what=$2 end
	shift 2
	end=$((${EPOCHREALTIME/./} + limit * 1000000))
	until "$@" >/dev/null 2>&1; do
		if ((${EPOCHREALTIME/./} > end)); then
			printf 'lab: waited %s s for %s\n' "$limit" "$what" >&2
			return 1
		fi
		sleep 0.05
	done
}

lab_nodes() {
	cat "$LAB_DIR/nodes"
}

# docker_on NODE ARGS...: Debian's client against a node's engine, blind to the caller's own Docker settings.
docker_on() {
	local node=$1
	shift
	env -u DOCKER_CONTEXT -u DOCKER_TLS_VERIFY -u DOCKER_CERT_PATH DOCKER_BUILDKIT=0 \
		DOCKER_CONFIG="$LAB_DIR/docker-config" DOCKER_HOST="unix://$LAB_DIR/node$node/docker.sock" \
		"$LAB_DOCKER" "$@"
}
