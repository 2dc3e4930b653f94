# room.sh: commits by themselves, where a disk is what fills up: the store's, and then the base's.
. /out/guest/lib.sh
mkdir -p /mnt/s96 /mnt/b24 && mount -t tmpfs -o size=96m none /mnt/s96 && mount -t tmpfs -o size=24m none /mnt/b24 || { echo "FAIL tmpfs"; finish; }
make_disk /dev/ubdb
B=/mnt/disk/base
mkdir -p "$B"
n=$((SOAK > 1 ? 64 : 8)) # files of 16 MiB: a GiB in a soak
export n B
FLAGS=--commit-when-full serve "$B" /mnt/s96/store 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
LIMIT=900
check small-disk 'for i in $(seq $n); do yes "file $i" | head -c $((16 << 20)) > f$i || exit; done && sync; df /mnt/s96 | tail -1'
check all-there 'drop; for i in $(seq $n); do yes "file $i" | head -c $((16 << 20)) | cmp - f$i || exit; done'
check the-base-has-it 'deltafs commit /mnt/s96/store && for i in $(seq $n); do yes "file $i" | head -c $((16 << 20)) | cmp - "$B/f$i" || exit; done'
cd /; unmount; stop
here sound 'deltafs fsck /mnt/s96/store'

# The base has no room: what was taken stays in the delta, and goes on when there is some.
FLAGS="--limit 48MiB --commit-when-full" serve /mnt/b24 /tmp/st 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
check no-room-anywhere 'i=0; while test $i -lt 40; do i=$((i + 1)); yes "part $i" 2> /dev/null | head -c $((4 << 20)) > /tmp/w && dd if=/tmp/w of=p$i bs=1M conv=fsync status=none 2> /tmp/err && echo $i >> /tmp/synced || break; done; tail -1 /tmp/synced; test $i -lt 40 && grep -q "No space left" /tmp/err'
check all-of-it-is-there 'drop; for i in $(cat /tmp/synced); do yes "part $i" | head -c $((4 << 20)) | cmp - p$i || exit; done'
check removing-works 'rm -f p$(($(tail -1 /tmp/synced) + 1)); sync'
here room-is-made 'mount -o remount,size=400m /mnt/b24'
check commit-goes-on 'deltafs commit /tmp/st && for i in $(cat /tmp/synced); do yes "part $i" | head -c $((4 << 20)) | cmp - /mnt/b24/p$i || exit; done; test -z "$(deltafs status /tmp/st)"'
check writes-go-on 'echo more > more && sync more && grep -q more more'
cd /; unmount; stop
here sound-too 'deltafs fsck /tmp/st'
finish
