# powercut.sh: writes without end to a store on a disk of its own, until the power
# goes. powercut-after.sh looks at what is left.
. /out/guest/lib.sh
make_disk /dev/ubdb
unpack_base
serve "$B" /mnt/disk/store 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
mkdir "$N/h"
sync
(cd / && sleep 12 && touch /out/cut) &
probe history "$N/h" /out/history
echo "FAIL history-ended"
finish
