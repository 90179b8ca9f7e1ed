# shellcheck shell=bash
# Control groups, version 1 or 2, whichever the machine has mounted. Sourced, never run.

cgroup_version() {
	if [[ $(stat -fc %T /sys/fs/cgroup 2>/dev/null) == cgroup2fs ]]; then
		echo 2
	else
		echo 1
	fi
}

# Mounts the hierarchies at /sys/fs/cgroup of the calling mount namespace.
cgroup_mount() {
	local controller hierarchy
	if [[ $1 == 2 ]]; then
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		return
	fi
	mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
	# What the machine has joined together (cpu,cpuacct) or named (name=systemd) must be mounted as it is: the container
	# runtime goes by /proc/PID/cgroup.
	while IFS=: read -r _ hierarchy _; do
		[[ -n $hierarchy ]] || continue
		mkdir "/sys/fs/cgroup/${hierarchy#name=}"
		mount -t cgroup -o "$hierarchy" cgroup "/sys/fs/cgroup/${hierarchy#name=}"
	done </proc/self/cgroup
	# On a machine that has mounted none yet there is nothing to go by.
	for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
		if grep -q "[:,]${controller}[:,]" /proc/self/cgroup; then
			continue
		fi
		mkdir "/sys/fs/cgroup/$controller"
		mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" 2>/dev/null ||
			rmdir "/sys/fs/cgroup/$controller"
	done
}

# Removes every control group below NAME; run where cgroup_mount has mounted the hierarchies.
cgroup_remove() {
	find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} + 2>/dev/null
	! find /sys/fs/cgroup -depth -type d -path "*/$1*" | grep -q .
}
