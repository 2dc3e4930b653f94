# powercut-after.sh: the same machine after its power came back.
. /out/guest/lib.sh
mkdir -p /mnt/disk
mount /dev/ubdb /mnt/disk || { echo "FAIL disk"; finish; }
unpack_base
here fsck-after-power-cut 'deltafs fsck /mnt/disk/store'
serve "$B" /mnt/disk/store 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
check synced-survives-power-cut 'probe prefix h /out/history'
check store-is-writeable 'echo x > after && echo more >> README.md'
unmount
stop
here fsck 'deltafs fsck /mnt/disk/store'
here rebuilt-index-equals-old 'deltafs fsck --rebuild /mnt/disk/store'
finish
