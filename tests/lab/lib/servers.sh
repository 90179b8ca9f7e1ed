# shellcheck shell=bash
# The registry and the Git remotes. Sourced, never run.
#
# Every node has instances of its own on its loopback, over the same files: so 127.0.0.1:PORT means the same thing on
# every node, as an outside registry's name would, and an engine takes 127.0.0.0/8 for insecure without being told.

servers_configure() {
	registry_configure
	git_configure
	ssh_configure
}

registry_configure() {
	local dir=$LAB_DIR/registry secret
	mkdir -p "$dir/store" "$LAB_DIR/docker-config"
	printf '{}\n' >"$LAB_DIR/docker-config/config.json"
	REGISTRY_USER=lab REGISTRY_PASSWORD=lab-registry-password
	htpasswd -Bbn -C 5 "$REGISTRY_USER" "$REGISTRY_PASSWORD" >"$dir/htpasswd"
	# What several instances share, or an upload begun at one is refused by the next.
	secret=$(printf '%s' "$LAB_DIR" | sha256sum | cut -c1-32)
	cat >"$dir/open.yml" <<END
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $dir/store}, delete: {enabled: true}}
http: {addr: "$REGISTRY", secret: $secret}
END
	cat >"$dir/auth.yml" <<END
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $dir/store}, delete: {enabled: true}}
http: {addr: "$REGISTRY_AUTH", secret: $secret}
auth: {htpasswd: {realm: lab, path: $dir/htpasswd}}
END
	jq -n --arg host "$REGISTRY_AUTH" --arg auth "$(printf '%s' "$REGISTRY_USER:$REGISTRY_PASSWORD" | base64 -w0)" \
		'{auths: {($host): {auth: $auth}}}' >"$dir/config.json"
	chmod 600 "$dir/config.json"
}

# /git is open, /private asks for a password; both are the same repositories.
git_configure() {
	local dir=$LAB_DIR/git-http
	mkdir -p "$LAB_DIR/git" "$dir"
	GIT_USER=lab GIT_PASSWORD=lab-git-password
	htpasswd -Bbn -C 5 "$GIT_USER" "$GIT_PASSWORD" >"$dir/htpasswd"
	tls_configure "$dir"
	cat >"$dir/lighttpd.conf" <<END
server.modules = ("mod_auth", "mod_authn_file", "mod_alias", "mod_setenv", "mod_cgi", "mod_openssl")
server.document-root = "$dir"
server.bind = "127.0.0.1"
server.port = $GIT_HTTP_PORT
server.errorlog = "/dev/stderr"
server.upload-dirs = ("/run")
alias.url = (
	"/git/" => "/usr/lib/git-core/git-http-backend/",
	"/private/" => "/usr/lib/git-core/git-http-backend/",
)
auth.backend = "htpasswd"
auth.backend.htpasswd.userfile = "$dir/htpasswd"
auth.require = ("/private/" => ("method" => "basic", "realm" => "lab", "require" => "valid-user"))
cgi.assign = ("" => "")
setenv.set-environment = (
	"GIT_PROJECT_ROOT" => "$LAB_DIR/git",
	"GIT_HTTP_EXPORT_ALL" => "1",
	"GIT_CONFIG_COUNT" => "1",
	"GIT_CONFIG_KEY_0" => "safe.directory",
	"GIT_CONFIG_VALUE_0" => "*",
)
\$SERVER["socket"] == "127.0.0.1:$GIT_HTTPS_PORT" {
	ssl.engine = "enable"
	ssl.pemfile = "$dir/server.pem"
	ssl.privkey = "$dir/server.key"
}
END
}

# A private CA, and a certificate for 127.0.0.1 and localhost signed by it.
tls_configure() {
	local dir=$1
	if ! {
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=lab CA" \
			-addext basicConstraints=critical,CA:TRUE -keyout "$dir/ca.key" -out "$dir/ca.pem" &&
			openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=127.0.0.1" \
				-keyout "$dir/server.key" -out "$dir/server.csr" &&
			openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 3650 \
				-extfile <(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n') -out "$dir/server.pem"
	} 2>"$dir/openssl.log"; then
		cat "$dir/openssl.log" >&2
		return 1
	fi
}

# The remote's user is called git, as everywhere, and exists in the nodes' own passwd only. It has root's number, so
# that repositories belong to whoever runs the tests.
ssh_configure() {
	local dir=$LAB_DIR/ssh
	mkdir -p "$dir/home"
	{
		grep -v '^git:' /etc/passwd
		printf 'git:x:0:0:Git remote of the lab:%s:/bin/sh\n' "$dir/home"
	} >"$dir/passwd"
	# No password of the machine's users is copied.
	sed 's/^\([^:]*\):.*/\1:*:19000:0:99999:7:::/' "$dir/passwd" >"$dir/shadow"
	chmod 600 "$dir/shadow"
	ssh-keygen -q -t ed25519 -N '' -C lab-host -f "$dir/host_key"
	ssh-keygen -q -t ed25519 -N '' -C lab-client -f "$dir/client_key"
	cp "$dir/client_key.pub" "$dir/authorized_keys"
	printf '[127.0.0.1]:%s %s\n' "$GIT_SSH_PORT" "$(cut -d' ' -f1,2 "$dir/host_key.pub")" >"$dir/known_hosts"
	cat >"$dir/sshd_config" <<END
ListenAddress 127.0.0.1:$GIT_SSH_PORT
HostKey $dir/host_key
AuthorizedKeysFile $dir/authorized_keys
AllowUsers git
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
# The directory may be below one that others can write to.
StrictModes no
PidFile none
SetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*
ForceCommand /usr/bin/git-shell -c "\$SSH_ORIGINAL_COMMAND"
END
}

# port_open NODE PORT: something listens there. Looks instead of connecting: it must not disturb what it asks about.
port_open() {
	nsenter -t "$(<"$LAB_DIR/$1/init.pid")" -n ss -Htln "sport = :$2" | grep -q LISTEN
}

server_start() {
	local name=$1 server=$2 port=$3
	shift 3
	node_server_alive "$name" "$server" && return 0
	node_spawn "$name" "$server" "$@"
	wait_until 10 "$server on $name to listen" port_open "$name" "$port" || {
		tail -n 20 "$LAB_DIR/$name/$server.log" >&2
		return 1
	}
}

registry_start() {
	server_start "$1" registry "$REGISTRY_PORT" docker-registry serve "$LAB_DIR/registry/open.yml"
	server_start "$1" registry-auth "$REGISTRY_AUTH_PORT" docker-registry serve "$LAB_DIR/registry/auth.yml"
}

registry_stop() {
	node_stop "$1" registry
	node_stop "$1" registry-auth
}

git_start() {
	server_start "$1" lighttpd "$GIT_HTTP_PORT" lighttpd -D -f "$LAB_DIR/git-http/lighttpd.conf"
	server_start "$1" sshd "$GIT_SSH_PORT" /usr/sbin/sshd -D -e -f "$LAB_DIR/ssh/sshd_config"
}

git_stop() {
	node_stop "$1" lighttpd
	node_stop "$1" sshd
}
