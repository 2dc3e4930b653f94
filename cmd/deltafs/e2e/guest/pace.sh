# pace.sh: how long the calls of a client take while what it reads is being committed.
. /out/guest/lib.sh
make_disk /dev/ubdb
B=/mnt/disk/base S=/mnt/disk/store
unpack_base "$B"
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
export S SIZE=104858
n=$((SOAK > 1 ? 10000 : 200)) idle=$((SOAK > 1 ? 20 : 3)) # a GiB in a soak
export n idle
LIMIT=900
check make 'mkdir own && probe lots lots $n $SIZE && sync'
check idle 'drop; (sleep $idle; touch /tmp/idle) & probe pace lots $n $SIZE own /tmp/idle' && sed 's/^/note idle: /' /tmp/check.out
check busy 'drop; (cd /; deltafs commit "$S" > /tmp/commit.out 2>&1; echo $? > /tmp/commit.rc; touch /tmp/committed) & probe pace lots $n $SIZE own /tmp/committed' && sed 's/^/note while a commit goes on: /' /tmp/check.out
check committed 'cat /tmp/commit.out; test $(cat /tmp/commit.rc) = 0 && test $(find /mnt/disk/base/lots -type f | wc -l) = $n'
cd /; unmount; stop
here fsck 'deltafs fsck /mnt/disk/store'
finish
