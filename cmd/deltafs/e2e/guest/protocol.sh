# protocol.sh: what only the protocol can get wrong.
. /out/guest/lib.sh
unpack_base
probe tree "$B" > /tmp/before
A=/mnt/a Q=/mnt/q

# Two mounts of one export, each with a cache of its own.
FLAGS="--export q=$B:/tmp/store-q --portmap" serve "$B" "$S" 2049 || finish
mount_nfs 2049 "$N" nosharecache && mount_nfs 2049 "$A" nosharecache || { echo "FAIL mount"; finish; }
check other-mount-sees-a-new-file 'echo one > shared && grep -qx one /mnt/a/shared'
check other-mount-sees-a-change 'echo two >> /mnt/a/shared && sleep 4 && grep -qx two shared'
check other-mount-sees-a-rename 'mv shared moved && sleep 4 && test -e /mnt/a/moved && test ! -e /mnt/a/shared'
check other-mount-sees-a-removal 'rm /mnt/a/moved && sleep 4 && test ! -e moved'

# One file by two names, in two directories.
check hard-links-are-one-file 'mkdir l1 l2 && echo x > l1/f && ln l1/f l2/g && echo y >> l1/f && test "$(cat l2/g)" = "x
y" && echo z >> l2/g && tail -n 1 l1/f | grep -qx z'
check hard-link-of-base-file 'ln README.md l2/readme && echo more >> l2/readme && tail -n 1 README.md | grep -qx more'

# Two exports over one base, mounted at once.
mount_nfs 2049 "$Q" "" /q || echo "FAIL mount-q"
check exports-do-not-mix 'echo only here > README.md && echo only q > /mnt/q/q && cmp /mnt/q/README.md /tmp/base/README.md && test ! -e q && test "$(stat -c %d .)" != "$(stat -c %d /mnt/q)"'
unmount "$Q"
unmount "$A"

# Found without its port.
here showmount 'showmount -e localhost | tee /dev/stderr | grep -q "^/q "'
here bare-mount 'mount -t nfs -o nolock localhost:/q /mnt/q && grep " /mnt/q " /proc/mounts | grep -o vers=3 && cmp <(echo only q) /mnt/q/q && umount /mnt/q'
here subdir-mount 'mount -t nfs -o nolock localhost:/q/docs /mnt/q && cmp /mnt/q/design.md /tmp/base/docs/design.md && umount /mnt/q'
unmount
stop

# The server is killed while names are made and removed: the calls that the client
# sends again get their first answer.
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
mkdir "$N/calls"
timeout -k 3 $((400 * SOAK)) probe names "$N/calls" /tmp/stop-names > /tmp/names.out 2>&1 &
namer=$!
for i in $(seq $((5 * SOAK))); do
  sleep 1.$((i % 10))
  kill -9 $server
  wait $server 2>/dev/null
  serve "$B" "$S" 2049 || finish
done
touch /tmp/stop-names
wait $namer
rc=$?
here calls-sent-twice "cat /tmp/names.out; exit $rc"

# The server's machine dies between unstable writes and the COMMIT, which comes
# behind the last of them: what it had not on disk is gone, and comes again. The
# trace tells when it has answered some.
stop
FLAGS=--trace serve "$B" "$S" 2049 || finish
for i in $(seq 64); do head -c 1048576 "$B/numbers.txt" && echo $i; done > /tmp/source
check resend-file 'touch resent && sync resent'
cp -a "$S" /tmp/saved
probe resend "$N/resent" /tmp/source /tmp/lost > /tmp/resend.out 2>&1 &
sender=$!
until grep -q 'stable=UNSTABLE.* -> OK' "$log"; do kill -0 $sender || break; sleep 0.02; done
kill -9 $server
wait $server 2>/dev/null
here unstable-writes-were-answered "grep -c '^WRITE.*stable=UNSTABLE.* -> OK' $log && ! grep ^COMMIT $log"
rm -rf "$S" && mv /tmp/saved "$S"
FLAGS=--trace serve "$B" "$S" 2049 || finish
touch /tmp/lost
wait $sender
rc=$?
here commit-after-loss "cat /tmp/resend.out; exit $rc"
here lost-writes-came-again "grep '^WRITE.*offset=0 .* -> OK' $log"
check data-is-there-again 'drop; cmp resent /tmp/source'
# Closed by nobody: another client finds it in the store.
kill -9 $server
wait $server 2>/dev/null
umount -f -l "$N"
FLAGS=--sync=strict serve "$B" "$S" 2050 && mount_nfs 2050 || { echo "FAIL remount"; finish; }
check data-is-synced 'cmp resent /tmp/source && rm -r calls l1 l2'
unmount
stop
here fsck 'deltafs fsck /tmp/store && deltafs fsck /tmp/store-q'
here base-untouched 'probe tree /tmp/base | diff /tmp/before -'
finish
