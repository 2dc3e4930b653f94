# commit.sh: changes go to the base while the kernel's client works on.
. /out/guest/lib.sh
make_disk /dev/ubdb
B=/mnt/disk/base S=/mnt/disk/store
unpack_base "$B"
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
export B S N
# numbers DIR: the number of each object.
numbers() { find "$1" -printf '%P %i\n' | sort; }
# same: the base is what the mount was, but for what goes on being written.
same() { seen "$B" > /tmp/base.tree; diff /tmp/mount.tree /tmp/base.tree > /tmp/diff || { head -20 /tmp/diff; false; }; }
# seen [DIR]: all but what goes on being made, and times of change.
seen() { probe tree "${1:-$N}" | grep -v '^"live\|^"\."' | sed 's/ ctime=[0-9.]*//'; }
export -f numbers same seen
LIMIT=900
check prepare 'mkdir lots && probe mk lots 200 3000 && echo changed >> README.md && mv cmd moved && mv internal docs/inside && rm -r examples \
  && ln README.md hard && ln -s hard soft && mkfifo pipe && probe sock socket && mkdir -m 1777 sticky && chown 7:8 lots/* && chmod 4711 go.mod \
  && truncate -s 2M sparse.bin && truncate -s 4M sparse && printf middle | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none \
  && mv go.mod x && mv README.md go.mod && mv x README.md && mkdir nest && mv moved nest/ && mv docs nest/moved/ && sync'
check look 'seen > /tmp/mount.tree && numbers . > /tmp/mount.numbers && wc -l < /tmp/mount.tree'
mkdir "$N/live"
exec 7< "$N/README.md"
( i=0; while test ! -e /tmp/stop-live; do i=$((i + 1)); echo $i > "$N/live/f$((i % 50))" && test "$(cat "$N/live/f$((i % 50))")" = $i || { echo "round $i" >> /tmp/live.err; break; }; done; echo $i > /tmp/live.rounds ) 2>> /tmp/live.err &
( while test ! -e /tmp/stop-live; do cat "$N"/lots/*1 > /tmp/cat.out || echo "read" >> /tmp/live.err; done ) 2>> /tmp/live.err &
check commit 'deltafs commit "$S"'
check others-saw-nothing 'touch /tmp/stop-live; sleep 1; test ! -s /tmp/live.err || { head -5 /tmp/live.err; exit 1; }; cat /tmp/live.rounds'
wait %2 %3 2>/dev/null
check base-is-the-tree 'same'
check client-sees-the-same 'seen > /tmp/now && diff /tmp/mount.tree /tmp/now | head -20 && cmp /tmp/mount.tree /tmp/now'
check numbers-stay 'numbers . | grep -v ^live > /tmp/n && grep -v ^live /tmp/mount.numbers | cmp - /tmp/n'
check after-drop 'drop; seen | cmp - /tmp/mount.tree && numbers . | grep -v ^live | cmp - /tmp/n'
check open-file-stays 'cat <&7 | cmp - README.md'
exec 7<&-
check only-later-changes-are-left 'deltafs status "$S"; ! deltafs status "$S" | grep -v "live\|^m "'
check new-names-work 'echo on >> lots/f1; mkdir lots/d && mv lots/d nest/moved/d && rmdir nest/moved/d && rm hard'
check discard-a-path 'echo gone > given-up && deltafs discard "$S" given-up live && for i in $(seq 100); do test ! -e given-up && exit; sleep 0.5; done; false'

# The server dies in the middle, and goes on by itself.
check more 'mkdir again && probe mk again 400 8000 && sync && seen > /tmp/mount.tree'
( cd /; timeout 300 deltafs commit "$S" > /tmp/cut.out 2>&1 ) &
for i in $(seq 400); do n=$(ls "$B/again" 2>/dev/null | wc -l); test "$n" -gt 100 && break; sleep 0.02; done
kill -9 $server; wait $server 2>/dev/null
here cut-short 'n=$(ls "$B/again" | wc -l); echo "$n files were there"; test "$n" -gt 0 && test "$n" -lt 400'
serve "$B" "$S" 2049
check finished-by-itself 'for i in $(seq 600); do grep -q "interrupted is done" '"$log"' && break; sleep 0.2; done; same'
check client-goes-on 'seen | cmp - /tmp/mount.tree'
check nothing-is-left 'test -z "$(deltafs status "$S")" || { deltafs status "$S"; false; }'
cd /; unmount; stop
here fsck 'deltafs fsck "$S"'
here no-traces '! find "$B" -name ".deltafs-*" | grep .'

rm -rf "$S" # else a commit is refused for it
# A delta of 64 MiB takes several times as much, and the base holds it.
FLAGS="--limit 64MiB --commit-when-full" serve "$B" /mnt/disk/small 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
LIMIT=900
n=$((SOAK > 1 ? 64 : 8)) # files of 16 MiB: a GiB in a soak
export n
check much 'mkdir big && for i in $(seq $n); do yes "file $i" | head -c $((16 << 20)) > big/f$i || exit; done && sync'
check much-is-there 'drop; for i in $(seq $n); do yes "file $i" | head -c $((16 << 20)) | cmp - big/f$i || exit; done'
check much-committed 'deltafs commit /mnt/disk/small && test "$(du -sm "$B/big" | cut -f1)" -ge $((16 * n)) && yes "file $n" | head -c $((16 << 20)) | cmp - "$B/big/f$n"'
check small-delta 'du -sm /mnt/disk/small; test "$(du -sm /mnt/disk/small | cut -f1)" -le 90'
cd /; unmount; stop
here small-is-sound 'deltafs fsck /mnt/disk/small'
finish
