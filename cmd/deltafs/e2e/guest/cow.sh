# cow.sh: what the first 4 KiB written into a base file cost, in space and time, for
# files of 1 MiB and of 10 GiB.
. /out/guest/lib.sh
mkdir -p "$B"
TRIES=8
for i in $(seq 0 $TRIES); do
  head -c 1048576 /dev/urandom > "$B/small$i"
  truncate -s 10G "$B/large$i"
done
printf middle | dd of="$B/large1" bs=1 seek=5368709000 conv=notrunc 2>/dev/null
probe tree "$B" > /tmp/before
SEGMENT_KIB=65536

du_kib() { du -sk "$S" | cut -f1; }
round() { # round FILES...: patches them through a new server; sets read (bytes
# that the server has read), grown, grown_du, ns
  local log0 du0
  log0=$(log_bytes "$S") du0=$(du_kib)
  serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
  ns=$(cd "$N" && timeout -k 3 120 probe patch 4096 "$at" "$@")
  unmount
  read=$(sed -n 's/^rchar: //p' /proc/$server/io)
  stop
  grown=$(($(log_bytes "$S") - log0)) grown_du=$(($(du_kib) - du0))
}
# The store is made first, so that its own files do not count.
serve "$B" "$S" 2049 && stop

at=524288 round small0; small_log=$grown small_du=$grown_du small_read=$read
at=5368709120 round large0; large_log=$grown large_du=$grown_du large_read=$read
here log-grows-little-1-MiB "echo $small_log bytes; test $small_log -gt 4096 && test $small_log -lt 65536"
here log-grows-little-10-GiB "echo $large_log bytes; test $large_log -gt 4096 && test $large_log -lt 65536"
here disk-grows-little "echo $small_du and $large_du KiB; test $small_du -le $((SEGMENT_KIB + 1024)) && test $large_du -le $((SEGMENT_KIB + 1024))"

# What it costs does not depend on the size: the server reads as much for one as for
# the other. The times are a note and no check, for they depend on the machine.
here reads-independent-of-size "echo $small_read and $large_read bytes; test $large_read -lt $((small_read + 1048576))"
at=524288 round small{1..8}; small_ns=$ns
at=5368709120 round large{1..8}; large_ns=$ns
echo "note first 4 KiB written and synced: $((small_ns / 1000)) us in 1 MiB, $((large_ns / 1000)) us in 10 GiB"

serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL remount"; finish; }
check patched-small 'cmp <(head -c 524288 /tmp/base/small3) <(head -c 524288 small3) && dd if=small3 bs=4096 skip=128 count=1 2>/dev/null | head -c 16 | grep -q patched && cmp <(tail -c 520192 /tmp/base/small3) <(tail -c 520192 small3)'
check patched-large 'test $(stat -c %s large1) = 10737418240 && dd if=large1 bs=4096 skip=1310720 count=1 2>/dev/null | head -c 16 | grep -q patched && dd if=large1 bs=1 skip=5368709000 count=6 2>/dev/null | grep -q middle'
unmount
stop
here fsck 'deltafs fsck /tmp/store'
here base-untouched 'probe tree /tmp/base | diff /tmp/before -'
finish
