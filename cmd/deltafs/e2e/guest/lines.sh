# lines.sh: snapshots, rollback and forks under the kernel's client.
. /out/guest/lib.sh
unpack_base
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
F=/mnt/fork
# soon COMMAND: it succeeds within the time that the client trusts what it knows.
soon() { for i in $(seq 150); do "$@" && return; sleep 0.5; done; "$@"; }
# lines N: there are so many lines and snapshots.
lines() { test "$(deltafs list "$S" | wc -l)" = "$1" || { deltafs list "$S"; false; }; }
export -f soon lines; export S F
LIMIT=600
check prepare 'echo first > f && echo kept > k && mkdir d && echo in > d/in && mv README.md RENAMED.md'
check snapshot 'deltafs snapshot "$S" before'
check change 'echo second > f && rm k && rm -r d && echo new > n && mv RENAMED.md AGAIN.md && echo more >> go.mod && cat f n'
check rollback 'deltafs rollback "$S" before'
check content-is-back 'soon grep -qx first f'
check name-is-back 'soon test -e k && grep -qx kept k && soon test -e d/in && cat d/in'
check new-name-is-gone 'soon test ! -e n'
check rename-is-back 'soon test -e RENAMED.md && soon test ! -e AGAIN.md && ls'
check base-file-is-back 'soon sh -c "! grep -q more go.mod"'
check writeable 'echo third > f && grep -qx third f && echo again > n && test "$(cat n)" = again'
check what-was-is-kept 'deltafs list "$S" | grep -q "main-before-.*automatic" && lines 3'
check fork 'deltafs fork --from before "$S" try'
mount_nfs 2049 "$F" "" /@try || { echo "FAIL mount-fork"; finish; }
check fork-shows-snapshot 'grep -qx first "$F/f" && test ! -e "$F/n"'
check fork-is-apart 'echo forked > "$F/f" && echo x > "$F/only" && grep -qx third f && test ! -e only && grep -qx forked "$F/f"'
check both-at-once 'for i in 1 2 3 4 5 6 7 8; do (echo $i > m$i; sync m$i) & (echo f$i > "$F/m$i"; sync "$F/m$i") & done; wait; for i in 1 2 3 4 5 6 7 8; do grep -qx $i m$i && grep -qx f$i "$F/m$i" || exit; done'
check drop-of-a-fork 'deltafs drop "$S" try && soon sh -c "! cat $F/f 2>/dev/null"'
umount -f -l "$F"
check discard 'deltafs status "$S" | grep -q . && deltafs discard "$S" && soon test -e README.md && soon test ! -e n && soon sh -c "! grep -qs third f" && test -z "$(deltafs status "$S")"'
check snapshot-outlives-discard 'deltafs rollback "$S" before && soon grep -qx first f'
check main-goes-on 'echo fourth > f && grep -qx fourth f'
unmount
stop
here fsck 'deltafs fsck "$S"'
finish
