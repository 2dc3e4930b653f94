# full.sh: the disk of the store is full, whoever has filled it, and then the limit
# of the store is reached.
. /out/guest/lib.sh
make_disk /dev/ubdb
unpack_base
FLAGS="--limit 1GiB" serve "$B" /mnt/disk/store 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
cd "$N" || finish
export SUMS=/tmp/sums

# write NAME MIB [SEED]: a file that differs from others, on disk when this returns.
write() { yes "$1 ${3:-}" | head -c $(($2 << 20)) > /tmp/w && dd if=/tmp/w of="$1" bs=1M conv=fsync status=none; }
# spaceless COMMAND: it fails, and says that there is no space.
spaceless() { ! "$@" 2> /tmp/err && grep -q "No space left" /tmp/err || { echo "not out of space:"; cat /tmp/err; false; }; }
export -f write spaceless

LIMIT=900
check ballast-is-kept 'for i in $(seq 100); do test -s /mnt/disk/store/ballast && exit; sleep 0.2; done; false'
check write-before 'for i in 0 1 2 3; do write f$i 6; done; sha256sum f? > $SUMS'
here fill-the-disk 'dd if=/dev/zero of=/mnt/disk/filler bs=1M status=none 2>/dev/null; df /mnt/disk | tail -1'
check full-write-fails 'spaceless write big 150'
check full-nothing-lost 'drop; sha256sum --status -c $SUMS'
check full-delete-works 'rm -f big f3 && test ! -e f3'
check full-change-works 'touch -d 2001-01-01 f0 && mv f1 g1 && ln -s x link && mkdir d && rmdir d'
check full-overwrites 'for i in 1 2 3 4 5 6 7 8; do write f2 4 $i || exit; done'
check full-write-fails-again 'spaceless write big 150; rm -f big'
here make-room 'rm /mnt/disk/filler'
check write-with-room 'write again 30'
check ballast-is-back 'for i in $(seq 100); do test -s /mnt/disk/store/ballast && exit; touch t; sleep 0.3; done; false'
kill -9 $server; wait $server 2>/dev/null
FLAGS="--limit 1GiB" serve "$B" /mnt/disk/store 2049
check restarted 'yes "again " | head -c $((30 << 20)) | cmp - again && yes "f2 8" | head -c $((4 << 20)) | cmp -n $((4 << 20)) - f2 && yes "f1 " | head -c $((6 << 20)) | cmp - g1'
cd /; unmount; stop
here store-is-sound 'deltafs fsck /mnt/disk/store'

# A limit of 24 MiB, warned of at 30% and at 60% of what it may hold, 16 MiB.
rm -rf /mnt/disk/store; rm -f /tmp/levels
deltafs serve --base "$B" --delta /mnt/disk/store --listen 127.0.0.1:2049 --metrics 127.0.0.1:9099 \
  --limit 24MiB --warn 30% --critical 60% \
  --on-threshold 'echo $DELTAFS_LEVEL $DELTAFS_USED $DELTAFS_LIMIT >> /tmp/levels' > /out/server-limit-full.log 2>&1 &
server=$! log=/out/server-limit-full.log
until grep -q "listening on" $log; do sleep 0.1; done
mount_nfs 2049 || { echo "FAIL mount"; finish; }
cd "$N" || finish
level() { for i in $(seq 150); do test "$(tail -n 1 /tmp/levels 2>/dev/null | cut -d' ' -f1)" = "$1" && return; sleep 0.2; done; cat /tmp/levels; return 1; }
export -f level
check limit-warns 'write l0 6; level warn'
check limit-is-critical 'write l1 5; level critical'
check limit-write-fails 'spaceless write l2 30; rm -f l2'
check limit-metric 'probe get http://127.0.0.1:9099/metrics | grep -E "^deltafs_store_threshold.* 2$"'
check limit-delete-works 'rm -f l0 l1; level ok'
check limit-again 'for i in 1 2 3 4 5 6; do write l3 6 $i || exit; done; drop; yes "l3 6" | head -c $((6 << 20)) | cmp - l3'
cd /; unmount; stop
here limit-store-is-sound 'deltafs fsck /mnt/disk/store'
finish
