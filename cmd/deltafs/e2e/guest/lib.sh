# lib.sh: what the guest scripts share. Each starts with `. /out/guest/lib.sh` and
# ends with `finish`. doc.go of the package says what lines they print.
set -u
export GOMEMLIMIT=400MiB GIT_CONFIG_GLOBAL=/dev/null
N=/mnt/n # the usual mount point
S=/tmp/store
B=/tmp/base
mkdir -p "$N"

# oneline makes an excerpt of a log fit into a line.
oneline() { [ ! -s "$1" ] || tail -c 600 "$1" | tr '\n' '|'; }

hung=0
# check NAME COMMAND: COMMAND, a string for bash, succeeds, within 300 s or $LIMIT,
# in a soak so many times that. It runs in $DIR, by default the mount point.
check() {
  local name=$1 start rc; shift
  if [ "$hung" -ge 3 ]; then echo "FAIL $name not tried: three checks hung before"; return 1; fi
  if ! kill -0 "$server" 2>/dev/null; then
    echo "FAIL $name the server has died: $(oneline "$log")"
    umount -f -l "$N"
    finish
  fi
  start=${EPOCHREALTIME/./}
  timeout -k 3 $((${LIMIT:-300} * SOAK)) bash -c "cd ${DIR:-$N} || exit; $*" > /tmp/check.out 2>&1
  rc=$?
  if [ $rc = 124 ] || [ $rc = 137 ]; then hung=$((hung + 1)); fi
  if [ $rc = 0 ]; then
    echo "ok $name $(((${EPOCHREALTIME/./} - start) / 1000)) ms $(oneline /tmp/check.out)"
  else
    echo "FAIL $name rc=$rc $(oneline /tmp/check.out)"
    return 1
  fi
}

# here NAME COMMAND: like check, with / as the directory and with no server needed.
here() { DIR=/ server=$$ check "$@"; }

# unpack_base [DIR]: the sample base, as root left it.
unpack_base() { mkdir -p "${1:-$B}" && tar -C "${1:-$B}" --sparse -xpf /out/base.tar; }

# make_disk DEVICE: a file system of the kind $FS on it, mounted at /mnt/disk.
make_disk() {
  case ${FS:-ext4} in
    btrfs) mkfs.btrfs -q -f "$1" ;;
    xfs) mkfs.xfs -q -f "$1" ;;
    *) mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$1" ;; # or it writes some MiB on its own, when it likes
  esac && mkdir -p /mnt/disk && mount "$1" /mnt/disk || { echo "FAIL disk"; finish; }
}

# serve BASE STORE PORT: starts a server, waits until it listens. $AS runs it as
# somebody else, $FLAGS are more of its flags. Sets $server to its process id.
servers=0
serve() {
  servers=$((servers + 1))
  log=/out/server$servers-$(basename "$0" .sh).log
  ${AS:-} deltafs serve --base "$1" --delta "$2" --listen "127.0.0.1:$3" ${FLAGS:-} > "$log" 2>&1 &
  server=$!
  local i=0
  until grep -q "listening on" "$log"; do
    i=$((i + 1))
    if [ $i -gt 600 ] || ! kill -0 $server 2>/dev/null; then
      echo "FAIL serve-$servers the server does not listen: $(oneline "$log")"
      return 1
    fi
    sleep 0.1
  done
}

# stop: ends the server the clean way.
stop() { kill -TERM $server; wait $server; }

# mount_nfs PORT [DIR] [OPTIONS] [EXPORT]
mount_nfs() {
  mkdir -p "${2:-$N}"
  timeout -k 3 300 mount -t nfs -o \
    "vers=3,proto=tcp,mountproto=tcp,nolock,port=$1,mountport=$1${3:+,$3}" "127.0.0.1:${4:-/}" "${2:-$N}"
}

# unmount [DIR]: never hangs.
unmount() { timeout -k 3 300 umount "${1:-$N}" || umount -f -l "${1:-$N}"; }

# drop: the client, and the server's kernel, forget what they have read.
drop() { sync; echo 3 > /proc/sys/vm/drop_caches; }
export -f drop

# log_bytes STORE: bytes ever appended to the log of a store at rest.
log_bytes() { deltafs info --json "$1" | probe json log_bytes; }

finish() { cd /; echo done; exit 0; }
