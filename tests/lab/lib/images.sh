# shellcheck shell=bash
# Base images and trees, built once and kept in LAB_CACHE. Sourced, never run.
#
# A tree is a tar file named by a hash of all that made it. The pushed base images are kept as the registry's own store,
# so that a lab that comes up later has them without building or pushing anything.

# What nobody reads in a container.
SLIM=(
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
	--dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*'
	--dpkgopt='path-exclude=/usr/share/i18n/*'
)

# Compiled just-in-time queries are of no use to tests, and LLVM is half of the image.
POSTGRES_TREE=(
	postgres bookworm --include=postgresql-15 "${SLIM[@]}"
	--dpkgopt='path-exclude=/usr/lib/llvm-*' --dpkgopt='path-exclude=/usr/lib/*/libLLVM*'
	--dpkgopt='path-exclude=/usr/lib/postgresql/15/lib/bitcode/*'
	--dpkgopt='path-exclude=/usr/lib/postgresql/15/lib/llvmjit*'
	--customize-hook='rm -rf "$1/etc/postgresql/15" "$1/var/lib/postgresql/15" "$1/var/log/postgresql"'
)
# shellcheck disable=SC2054
DJANGO_TREE=(
	django bookworm --include=python3,python3-django,python3-psycopg2,python3-dj-database-url,gunicorn "${SLIM[@]}"
)
# shellcheck disable=SC2054
FLASK_TREE=(
	flask bookworm --include=python3,python3-flask,python3-flask-sqlalchemy,python3-alembic,python3-psycopg2,gunicorn "${SLIM[@]}"
)
# shellcheck disable=SC2054
SYSTEMD_TREE=(
	systemd bookworm
	--include=systemd,systemd-sysv,dbus,libgit2-1.5,libcurl4,libpq5,libsqlite3-0,libjansson4,libyaml-0-2,libmicrohttpd12,libnettle8,ca-certificates,openssh-client,procps
	"${SLIM[@]}"
)
# shellcheck disable=SC2054
SYSTEMD_13_TREE=(
	systemd-13 trixie
	--include=systemd,systemd-sysv,dbus,libgit2-1.9,libcurl4t64,libpq5,libsqlite3-0,libjansson4,libyaml-0-2,libmicrohttpd12t64,libnettle8t64,ca-certificates,openssh-client,procps
	"${SLIM[@]}"
)
# shellcheck disable=SC2054
ENGINE_TREE=(
	engine-26.1 trixie --include=docker.io,iptables,iproute2,ca-certificates,procps "${SLIM[@]}"
)

tree_name() {
	printf '%s-%s' "$1" "$(printf '%s\n' "$@" | sha256sum | cut -c1-12)"
}

# tree NAME SUITE OPTIONS...: prints the path of the tree's tar file, made first if the cache has none.
tree() {
	local name file log
	name=$(tree_name "$@")
	file=$LAB_CACHE/$name.tar log=$LAB_CACHE/$name.log
	mkdir -p "$LAB_CACHE"
	(
		# Whoever else wants the same tree waits here and finds it made.
		flock 9
		if [[ ! -f $file ]]; then
			printf 'lab: making the tree %s, once\n' "$name" >&2
			rm -f "$file.new"
			mmdebstrap --quiet --variant=minbase --format=tar "${@:3}" "$2" "$file.new" >"$log" 2>&1 </dev/null || {
				tail -n 20 "$log" >&2
				exit 1
			}
			mv "$file.new" "$file"
		fi
	) 9>"$LAB_CACHE/$name.lock" || return 1
	printf '%s\n' "$file"
}

# Prints the folder of the newer engine's tree; engines run from it and do not write to it.
engine_tree() {
	local file folder
	file=$(tree "${ENGINE_TREE[@]}") || return 1
	folder=${file%.tar}
	(
		flock 9
		if [[ ! -d $folder ]]; then
			rm -rf "$folder.new"
			mkdir "$folder.new"
			tar -C "$folder.new" -xf "$file"
			mv "$folder.new" "$folder"
		fi
	) 9>"$folder.lock" || return 1
	printf '%s\n' "$folder"
}

# All that the base images depend on.
base_images_key() {
	{
		printf '%s\n' "${POSTGRES_TREE[@]}" "${DJANGO_TREE[@]}" "${FLASK_TREE[@]}"
		declare -f base_images_build python_image
		cat "$LAB_HOME/image" "$LAB_HOME/apps/postgres/entrypoint" "$LAB_HOME/apps/web/web.c"
	} | sha256sum | cut -c1-12
}

# Puts the pushed base images of an earlier lab into this one's registry, if there are any.
base_images_restore() {
	local kept
	kept=$LAB_CACHE/store-$(base_images_key)
	[[ -d $kept ]] || return 1
	cp -a "$kept/." "$LAB_DIR/registry/store/"
}

# python_image NAME TREE: an image of a tree with Python and a framework, for applications to be put on.
python_image() {
	docker_on 1 import -c 'ENV LANG=C.UTF-8' -c 'CMD ["python3"]' "$2" "$REGISTRY/$1" >/dev/null &&
		docker_on 1 push -q "$REGISTRY/$1" >/dev/null
}

# Has them made, or waits for another lab that makes them.
base_images_make() {
	mkdir -p "$LAB_CACHE"
	(
		flock 9
		if ! base_images_restore; then
			base_images_build
		fi
	) 9>"$LAB_CACHE/store.lock"
}

base_images_build() {
	local postgres django flask work kept
	printf 'lab: making the base images, once\n' >&2
	{ tree "${DJANGO_TREE[@]}" && tree "${FLASK_TREE[@]}"; } >"$LAB_DIR/python-trees" &
	postgres=$(tree "${POSTGRES_TREE[@]}") || return 1
	wait $! || return 1
	{ read -r django && read -r flask; } <"$LAB_DIR/python-trees"
	work=$LAB_DIR/work
	rm -rf "$work"
	mkdir "$work"

	mkdir -p "$work/web/bin" "$work/web/tmp" "$work/web/data"
	chmod 1777 "$work/web/tmp"
	musl-gcc -static -O2 -s -o "$work/web/web" "$LAB_HOME/apps/web/web.c" || return 1
	# A shell, for health checks written as text.
	cp /bin/busybox "$work/web/bin/busybox"
	ln -s busybox "$work/web/bin/sh"
	ln -s /web "$work/web/bin/web"
	"$LAB_HOME/image" --dir "$LAB_DIR" "$REGISTRY/web:1" "$work/web" --entrypoint '["/web"]' --workdir /data \
		--env PATH=/bin --push || return 1

	python_image django-base:1 "$django" && python_image flask-base:1 "$flask" || return 1

	docker_on 1 import "$postgres" lab-postgres >/dev/null || return 1
	mkdir "$work/postgres"
	cp "$LAB_HOME/apps/postgres/entrypoint" "$work/postgres/docker-entrypoint.sh"
	chmod 755 "$work/postgres/docker-entrypoint.sh"
	cat >"$work/Dockerfile" <<'END'
FROM lab-postgres
COPY postgres/ /usr/local/bin/
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV LANG=C.UTF-8
ENV PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
END
	tar -C "$work" -c Dockerfile postgres | docker_on 1 build -q -t "$REGISTRY/postgres:15" - >/dev/null &&
		docker_on 1 push -q "$REGISTRY/postgres:15" >/dev/null || return 1

	# As in a lab that found them in the cache, the engine knows none of them yet.
	docker_on 1 rmi -f "$REGISTRY/web:1" "$REGISTRY/django-base:1" "$REGISTRY/flask-base:1" "$REGISTRY/postgres:15" lab-postgres >/dev/null
	rm -rf "$work" "$LAB_DIR/python-trees"
	kept=$LAB_CACHE/store-$(base_images_key)
	rm -rf "$kept.$$"
	cp -a "$LAB_DIR/registry/store" "$kept.$$"
	mv -T "$kept.$$" "$kept"
}
