#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# One backup, in a job of the database service's own image: any POSIX sh, and what the official postgres image has. Everything that
# differs comes as an argument or in the environment (PGHOST, PGUSER, ...), never as part of this text. The last line says how it
# went; one that says "error:" is what people read in the record.
#
#   backup.sh FOLDER PASSWORD-FILE FILE PREFIX KEEP CUTOFF NEEDED
#
# FILE     PREFIX_20260823T140205Z_9f3c1ab0.dump, with its checksum in FILE.sha256
# KEEP     dumps of this PREFIX that stay, whatever their age
# CUTOFF   20260816T140205Z: younger ones stay, too
# NEEDED   KiB that must be free when there is no dump yet
set -eu
umask 077
LC_ALL=C
export LC_ALL
folder=$1 password_file=$2 file=$3 prefix=$4 keep=$5 cutoff=$6 needed=$7
stamped='[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z_[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f].dump'

fail() {
	echo "error: $1" >&2
	exit 1
}

child=
clean_up() {
	rm -f -- "$file.partial" "$file.sha256.partial"
}
stop() {
	if [ -n "$child" ] && kill -TERM "$child"; then
		wait "$child" || exit 143
	fi
	exit 143
}

# bytes FILE: its size. wc would read it, stat is not the same everywhere.
bytes() {
	# shellcheck disable=SC2012
	ls -ln -- "$1" | {
		read -r _ _ _ _ size _
		echo "$size"
	}
}

# What killed jobs have left; two of a stack never run at once.
remove_partials() {
	for name in "$prefix"_$stamped.partial "$prefix"_$stamped.sha256.partial; do
		if [ -f "$name" ]; then
			rm -f -- "$name"
		fi
	done
}

check_room() {
	last='' free=''
	for name in "$prefix"_$stamped; do
		if [ -f "$name" ]; then
			last=$name
		fi
	done
	if [ -n "$last" ]; then
		needed=$(($(bytes "$last") * 12 / 10240 + 1))
	fi
	# the word before the percentage: names of devices may hold blanks
	for word in $(df -Pk . | tail -n 1); do
		case $word in
		*%) break ;;
		esac
		free=$word
	done
	[ "$free" -ge "$needed" ] ||
		fail "not enough room in the volume of backups: $free KiB are free, and $needed KiB are needed (1.2 times the last dump, or a quarter of the database)"
}

dump() {
	pg_dump --format=custom --no-password --lock-wait-timeout=30s --file="$file.partial" &
	child=$!
	wait "$child" || exit
	child=
}

verify() {
	[ -s "$file.partial" ] || fail "pg_dump wrote an empty file"
	pg_restore --list "$file.partial" >/dev/null || exit
	sum=$(sha256sum "$file.partial")
	sum=${sum%% *}
	echo "$sum  $file" >"$file.sha256.partial"
	[ "$(cat "$file.sha256.partial")" = "$sum  $file" ] || fail "the checksum could not be written"
}

# The checksum first: a dump that has its name has that, too.
publish() {
	sync
	mv -f -- "$file.sha256.partial" "$file.sha256"
	mv -f -- "$file.partial" "$file"
	sync
}

# Names sort by time. A dump that cannot be removed is no reason to call this one bad.
rotate() {
	# shellcheck disable=SC2086
	set -- "$prefix"_$stamped
	excess=$(($# - keep))
	for old in "$@"; do
		[ "$excess" -gt 0 ] || break
		excess=$((excess - 1))
		stamp=${old#"$prefix"_}
		if expr "${stamp%%_*}" '<' "$cutoff" >/dev/null; then
			if rm -f -- "$old" "$old.sha256"; then
				echo "removed $old"
			else
				echo "warning: $old could not be removed"
			fi
		fi
	done
}

cd -- "$folder"
for tool in pg_dump pg_restore sha256sum df; do
	command -v "$tool" >/dev/null ||
		fail "the image of the database service has no $tool; backups are made by that image, with the programs of its own PostgreSQL"
done
if [ -f "$password_file" ]; then
	# the x keeps newlines that belong to it
	PGPASSWORD=$(cat -- "$password_file" && echo x)
	PGPASSWORD=${PGPASSWORD%x}
	export PGPASSWORD
fi
remove_partials
check_room
trap clean_up EXIT
trap stop TERM INT
dump
verify
publish
rotate
echo "backup: $file, $(bytes "$file") bytes, sha256 $sum"
