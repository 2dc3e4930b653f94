# wear.sh: how many bytes reach the disk for each byte that is written: log, index,
# checkpoints and cleaner, and what the file system of the disk adds.
. /out/guest/lib.sh
make_disk /dev/ubdb
unpack_base
mib=$((SOAK > 1 ? 256 : 128))
FLAGS="--limit ${mib}MiB --metrics 127.0.0.1:9099" serve "$B" /mnt/disk/store 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
written() { sync; awk '{print $7 * 512}' /sys/block/ubdb/stat; }
# ratio NAME MOST USER-BYTES COMMAND
ratio() {
  local before=$(written)
  LIMIT=900 check "$1-write" "$4" || return
  local bytes=$(($(written) - before))
  here "$1-parts" 'probe get http://127.0.0.1:9099/metrics | sed -n "s/^deltafs_store_\([a-z_]*\)_total{.*} /\1 /p"'
  here "$1" "awk 'BEGIN { r = $bytes / $3; print r; exit !(r > 0.9 && r <= $2) }'"
  echo "note $1: $(awk "BEGIN { print $bytes / $3 }") bytes reach the disk for each"
}
full=$((mib << 19)) # bytes: half of what there may be
export full
ratio wear-sequential 1.3 $full 'yes abcdefghijk | head -c $full > /tmp/w; dd if=/tmp/w of=big bs=1M conv=fsync status=none'
ratio wear-random 2.5 $((2 * full)) 'probe scatter big $((2 * full))'
check wear-readable 'test $(stat -c %s big) = $full'
cd /; unmount; stop
here fsck 'deltafs fsck /mnt/disk/store'
finish
