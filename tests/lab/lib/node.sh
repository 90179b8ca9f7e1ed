# shellcheck shell=bash
# Nodes: namespaces, the wires between them, and one engine in each. Sourced, never run.

# Starts NAME (node1, node2, ... or switch) in namespaces of its own and waits until it is set up.
node_create() {
	local name=$1
	mkdir -p "$LAB_DIR/$name"
	printf 'nameserver %s.%s\n' "$NODE_NET" "${name#node}" >"$LAB_DIR/$name/resolv.conf"
	setsid unshare --mount --net --uts --pid --fork --propagation private \
		"$LAB_HOME/lib/node-init" "$LAB_DIR" "$name" </dev/null >"$LAB_DIR/$name/init.log" 2>&1 &
	disown
	wait_until 10 "$name to set up its namespaces" test -s "$LAB_DIR/$name/init.pid" || {
		cat "$LAB_DIR/$name/init.log" >&2
		return 1
	}
}

# Runs a command in NAME's namespaces.
node_exec() {
	local pid
	pid=$(<"$LAB_DIR/$1/init.pid") || die "$1 is not running"
	shift
	nsenter -t "$pid" -m -n -u -p -- "$@"
}

# node_spawn NAME SERVER COMMAND...: starts a server in the node; its log is LAB_DIR/NAME/SERVER.log.
node_spawn() {
	local name=$1 server=$2
	shift 2
	node_exec "$name" env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 bash -c '
		server=$1 log=$2
		shift 2
		setsid "$@" </dev/null >>"$log" 2>&1 &
		echo $! >"/run/$server.pid"
	' - "$server" "$LAB_DIR/$name/$server.log" "$@"
}

node_server_alive() {
	node_exec "$1" bash -c 'kill -0 "$(cat "/run/$1.pid")"' - "$2" 2>/dev/null
}

# node_kill NAME SERVER SIGNAL
node_kill() {
	node_exec "$1" bash -c 'kill "-$2" "$(cat "/run/$1.pid")"' - "$2" "$3" 2>/dev/null
}

node_server_gone() {
	! node_server_alive "$@"
}

# node_stop NAME SERVER: ends a server and waits for it; a server that does not run is fine.
node_stop() {
	node_kill "$1" "$2" TERM || return 0
	node_kill "$1" "$2" CONT || return 0
	wait_until 40 "$2 on $1 to stop" node_server_gone "$1" "$2"
}

# A switch in a namespace of its own: bridge-netfilter of a namespace that runs an engine would drop what crosses it.
switch_create() {
	node_create switch
	node_exec switch ip link add br0 type bridge
	node_exec switch ip link set br0 up
}

# Plugs node N into the switch: eth0 in the node, portN in the switch.
switch_plug() {
	local n=$1 node_pid switch_pid
	node_pid=$(<"$LAB_DIR/node$n/init.pid")
	switch_pid=$(<"$LAB_DIR/switch/init.pid")
	nsenter -t "$switch_pid" -n ip link add "port$n" type veth peer name eth0 netns "$node_pid"
	nsenter -t "$switch_pid" -n ip link set "port$n" master br0 up
	node_exec "node$n" ip address add "$NODE_NET.$n/24" dev eth0
	node_exec "node$n" ip link set eth0 up
	node_spawn "node$n" no-names "$LAB_HOME/lib/no-names" "$NODE_NET.$n"
}

# Starts node N's engine on its data of before, if any, and waits until it answers.
engine_start() {
	local n=$1
	node_server_alive "node$n" dockerd && die "the engine of node $n runs already"
	# A killed engine leaves both; the PID may by now be anything's.
	rm -f "$LAB_DIR/node$n/docker.pid" "$LAB_DIR/node$n/docker.sock"
	node_exec "node$n" rm -f /run/docker/containerd/containerd.pid
	# Engine 20.10 leaves the interface of a network behind when it ends while that is taken down, and can then make no other
	# with its number ("error creating vxlan interface: file exists"). A machine that starts anew has none.
	node_exec "node$n" bash -c 'ip -o link show type vxlan | sed -n "s/^[0-9]*: \(vx-[^:@]*\).*/\1/p" | xargs -r -n 1 ip link delete'
	node_spawn "node$n" dockerd "$LAB_HOME/lib/run-engine" "$LAB_DIR" "$n" "$LAB_CGROUP" "$(<"$LAB_DIR/engine-tree")"
}

engine_answers() {
	docker_on "$1" version
}

engine_wait() {
	wait_until 60 "the engine of node $1 to answer" engine_answers "$1" || {
		tail -n 20 "$LAB_DIR/node$1/dockerd.log" >&2
		return 1
	}
}
