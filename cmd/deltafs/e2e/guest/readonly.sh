# readonly.sh: bases that nobody can write, served by a user who owns neither base
# nor mount point, with files that he may not read and things that nobody may open.
. /out/guest/lib.sh
NOBODY="setpriv --reuid 4711 --regid 4711 --clear-groups"
unpack_base /tmp/src
echo secret > /tmp/src/secret; chmod 600 /tmp/src/secret
mkdir /tmp/src/private; echo x > /tmp/src/private/x; chmod 700 /tmp/src/private
mknod /tmp/src/char c 240 7
mknod /tmp/src/block b 240 7
probe sock /tmp/src/socket

# try NAME BASE PORT: the checks for one base.
try() {
  local name=$1 port=$3 opener
  export B=$2
  S=/tmp/store-$name N=/mnt/n-$name
  mkdir -p "$N"
  install -d -o 4711 -g 4711 "$S"
  probe tree "$B" > "/tmp/before-$name"
  AS=$NOBODY serve "$B" "$S" "$port" && mount_nfs "$port" "$N" || { echo "FAIL $name-mount"; return; }
  here "$name-base-is-read-only" '! touch $B/x 2>/dev/null'
  check "$name-read" 'cmp numbers.txt /tmp/src/numbers.txt && cmp docs/guide/faq.md /tmp/src/docs/guide/faq.md'
  check "$name-list-all" 'find . 2>/dev/null | sort | diff <(cd $B && find . ! -path "./private/*" | sort) -'
  check "$name-unreadable-file" 'cat secret 2>&1 | grep -qi "permission denied"'
  check "$name-unreadable-file-attributes" 'test "$(stat -c "%a %s %u" secret)" = "600 7 0"'
  check "$name-unreadable-directory" 'ls private 2>&1 | grep -qi "permission denied"'
  check "$name-special-files-shown" 'test -p fifo && test -c char && test -b block && test -S socket && test "$(stat -c %t,%T char block | tr "\n" " ")" = "f0,7 f0,7 "'
  check "$name-special-files-not-opened" 'chmod 622 fifo && mv fifo fifo2 && ls -l fifo2 char block socket && rm socket && test ! -e socket'
  here "$name-fifo-has-no-reader" '! timeout 5 dd if=/dev/null of=$B/fifo oflag=nonblock conv=notrunc 2>/dev/null'
  check "$name-write" 'echo new > new && echo more >> README.md && mkdir dir && mv docs dir/ && rm -r internal && drop; test "$(cat new)" = new && tail -1 README.md | grep -q more && cmp dir/docs/guide/faq.md /tmp/src/docs/guide/faq.md && test ! -e internal'
  unmount "$N"
  stop
  here "$name-fsck" "$NOBODY deltafs fsck $S"
  here "$name-base-untouched" "probe tree $B | diff /tmp/before-$name -"
}

mksquashfs /tmp/src /tmp/base.sqfs -quiet -no-progress > /dev/null || echo "FAIL mksquashfs"
mkdir -p /mnt/squash /mnt/bind
mount -t squashfs -o loop,ro /tmp/base.sqfs /mnt/squash || echo "FAIL mount-squashfs"
try squashfs /mnt/squash 2049

mount --bind /tmp/src /mnt/bind && mount -o remount,bind,ro /mnt/bind || echo "FAIL mount-bind"
try bind /mnt/bind 2051

# Reading does not move the base's atime: as root, and as the owner of the files.
# The file system moves it at each read that does not ask otherwise.
atime() { # atime NAME OWNER PORT
  B=/mnt/atime-$1 S=/tmp/store-atime-$1 N=/mnt/n-$1
  mkdir -p "$B" "$N"
  mount -t tmpfs -o strictatime none "$B"
  cp -r /tmp/src/docs /tmp/src/README.md /tmp/src/numbers.txt /tmp/src/many "$B/"
  ln -s README.md "$B/link"
  install -d -o "$2" -g "$2" "$S"
  chown -R "$2:$2" "$B"
  find "$B" -exec touch -h -a -d 2001-01-01 {} +
  # Walking reads the directories, which moves their atimes, and nothing can read a
  # symlink without moving its: only files count here.
  find "$B" -type f -exec stat -c '%n %x' {} + | sort > "/tmp/atime-$1"
  AS="setpriv --reuid $2 --regid $2 --clear-groups" serve "$B" "$S" "$3" && mount_nfs "$3" "$N" || { echo "FAIL atime-$1-mount"; return; }
  check "atime-$1" "cat README.md numbers.txt docs/guide/* many/* > /dev/null && readlink link && find $B -type f -exec stat -c '%n %x' {} + | sort | diff /tmp/atime-$1 -"
  unmount "$N"
  stop
}
atime root 0 2052
atime owner 4711 2053
finish
