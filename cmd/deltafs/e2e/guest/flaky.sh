# flaky.sh: the disk of the store begins to fail all writes while a history of changes
# is written. What was answered as synced before is there when the disk is back.
. /out/guest/lib.sh
size=$(blockdev --getsz /dev/ubdb)
table() { dmsetup --noudevsync "$1" flaky --table "$2" && dmsetup mknodes; }
table create "0 $size linear /dev/ubdb 0" || { echo "FAIL dm"; finish; }
make_disk /dev/mapper/flaky
unpack_base
for round in $(seq $((SOAK > 1 ? 5 : 2))); do
  serve "$B" /mnt/disk/store 2049 && mount_nfs 2049 || { echo "FAIL mount-$round"; finish; }
  mkdir "$N/h$round"
  sync
  timeout -k 3 60 probe history "$N/h$round" /out/history$round > /tmp/history.out 2>&1 &
  writer=$!
  sleep 6
  # Down at once, up never: each write is an error, each sync too.
  dmsetup --noudevsync suspend --nolockfs flaky && table load "0 $size flakey /dev/ubdb 0 0 86400 1 error_writes" &&
    dmsetup --noudevsync resume flaky || { echo "FAIL fail-the-disk-$round"; finish; }
  LIMIT=400 here disk-fails-$round "for i in \$(seq 300); do kill -0 $writer 2>/dev/null || exit 0; sleep 0.2; done; false"
  here no-server-pretends-$round "! timeout -k 3 30 dd if=/dev/zero of=$N/after$round bs=4k count=1 conv=fsync 2>&1"
  kill -9 $server; wait $server 2>/dev/null
  umount -f -l "$N"
  umount /mnt/disk || umount -l /mnt/disk
  sleep 1
  dmsetup --noudevsync suspend --nolockfs flaky && table load "0 $size linear /dev/ubdb 0" && dmsetup --noudevsync resume flaky
  mount /dev/mapper/flaky /mnt/disk || { echo "FAIL mount-again-$round"; finish; }
  here fsck-$round 'deltafs fsck /mnt/disk/store'
  serve "$B" /mnt/disk/store 2049 && mount_nfs 2049 || { echo "FAIL serve-again-$round"; finish; }
  check synced-survives-$round "probe prefix h$round /out/history$round"
  check writeable-$round "echo x > again$round"
  unmount
  stop
done
here rebuilt-index-equals-old 'deltafs fsck --rebuild /mnt/disk/store'
finish
