# kill.sh: the server is killed with SIGKILL in the middle of a copy and started
# again over the same store, several times. The client goes on, nothing that was
# synced is lost, and the store is sound.
. /out/guest/lib.sh
KILLS=$((3 * SOAK))
FILES=$((400 * SOAK))
unpack_base
probe tree "$B" > /tmp/before
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }

mkdir "$N/w" "$N/copy"
echo "held open" > "$N/held"
exec 6<> "$N/held"
ino=$(stat -c %i "$N/held" "$N/README.md")

timeout -k 3 $((600 * SOAK)) probe write "$N/w" "$FILES" /tmp/synced > /tmp/write.out 2>&1 &
writer=$!
# A copy of base files onto names that exist already, again and again, so that each
# call of it may be sent twice without harm.
(while [ ! -e /tmp/enough ]; do cat "$N/numbers.txt" > "$N/copy/numbers.txt" || exit 1; done) > /tmp/copy.out 2>&1 &
copier=$!

for i in $(seq "$KILLS"); do
  n=$(wc -l < /tmp/synced 2>/dev/null || echo 0)
  t=0
  until [ "$(wc -l < /tmp/synced)" -ge $((n + FILES / (KILLS + 2))) ] || [ $t -gt 600 ]; do t=$((t + 1)); sleep 0.1; done
  kill -9 $server
  wait $server 2>/dev/null
  echo "note kill $i after $(wc -l < /tmp/synced) synced files"
  serve "$B" "$S" 2049 || finish
done
wait $writer
rc=$?
here writer-goes-on "cat /tmp/write.out; exit $rc"
touch /tmp/enough
wait $copier
rc=$?
here copier-goes-on "cat /tmp/copy.out; exit $rc"
check open-file-not-stale 'echo more >&6 && grep -q more held' 
check inodes-stay "test \"\$(stat -c %i held README.md | tr '\n' ' ')\" = \"$(echo "$ino" | tr '\n' ' ')\""
exec 6>&-
LIMIT=900 check synced-files-are-there 'drop; probe written w /tmp/synced'
check copy-is-whole 'drop; cmp copy/numbers.txt /tmp/base/numbers.txt'

# Once more, with nobody to send again what was answered: kill, and look at the
# store with a new client.
sync
kill -9 $server
wait $server 2>/dev/null
umount -f -l "$N"
here fsck-after-kill 'deltafs fsck /tmp/store'
here rebuilt-index-equals-old 'deltafs fsck --rebuild /tmp/store'
serve "$B" "$S" 2050 && mount_nfs 2050 "$N" || { echo "FAIL remount"; finish; }
LIMIT=900 check synced-files-seen-by-new-client 'probe written w /tmp/synced'
unmount
stop
here fsck 'deltafs fsck /tmp/store'
here base-untouched 'probe tree /tmp/base | diff /tmp/before -'
finish
