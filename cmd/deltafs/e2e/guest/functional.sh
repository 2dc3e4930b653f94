# functional.sh: every operation of NFSv3 through the client of the kernel, over the
# sample base.
. /out/guest/lib.sh
unpack_base
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
probe tree "$B" > /tmp/before

# Looking.
check list-root 'test "$(ls -A | wc -l)" = "$(ls -A /tmp/base | wc -l)"'
check statfs 'df -k . | tail -1 && df -i . | tail -1 && test $(stat -f -c %b .) -gt 0'
check read-base-file 'cmp README.md /tmp/base/README.md'
check read-large-file 'cmp numbers.txt /tmp/base/numbers.txt'
check read-sparse-file 'test $(stat -c %s sparse.bin) = 67108864 && tail -c 3 sparse.bin | grep -q end'
check base-attributes 'a="$(cd /tmp/base && stat -c "%n %a %u %g %s %Y %F" modes/* links/* fifo)"; b="$(stat -c "%n %a %u %g %s %Y %F" modes/* links/* fifo)"; diff <(echo "$a") <(echo "$b")'
check base-symlinks 'test "$(cd links && for l in *; do readlink $l; done)" = "$(cd /tmp/base/links && for l in *; do readlink $l; done)"; cat links/chain | cmp - README.md'
check base-hard-links 'test $(stat -c %h docs/design.md) = 3 && test $(stat -c %i docs/design.md) = $(stat -c %i links/design-hard.md)'
check base-odd-names 'test "$(cd names && ls -A | md5sum)" = "$(cd /tmp/base/names && ls -A | md5sum)" && cat names/* names/.[!.]* > /dev/null'
check base-deep-path 'cat $(find deep -name bottom.txt) | grep -q bottom'
check base-many-entries 'test $(ls many | wc -l) = 300'
check base-fifo-not-opened 'test -p fifo && ls -l fifo && chmod 600 fifo && mv fifo fifo2 && test -p fifo2 && test "$(stat -c %a fifo2)" = 600'
check directory-nlink 'test $(stat -c %h empty) = 4'

# Files.
check create-and-read 'echo hello > f1 && test "$(cat f1)" = hello'
check append 'echo two >> f1 && test "$(wc -l < f1)" = 2'
check append-uncached-name 'drop; echo three >> f1 && test "$(wc -l < f1)" = 3'
check append-to-base-file 'drop; echo more >> AUTHORS && cmp AUTHORS <(cat /tmp/base/AUTHORS; echo more)'
check open-creat-keeps-data 'drop; : >> CHANGELOG; cmp CHANGELOG /tmp/base/CHANGELOG'
check overwrite-in-base-file 'cp /tmp/base/numbers.txt /tmp/r && for f in numbers.txt /tmp/r; do printf XYZ | dd of=$f bs=1 seek=1500000 conv=notrunc 2>/dev/null; done; drop; cmp numbers.txt /tmp/r && mv /tmp/r /tmp/edited'
check write-megabytes 'head -c 3000000 /dev/urandom > /tmp/r; cp /tmp/r big; drop; cmp big /tmp/r'
check truncate-shrink 'truncate -s 1000 big && test $(stat -c %s big) = 1000 && cmp big <(head -c 1000 /tmp/r)'
check truncate-grow-zeros 'truncate -s 9000 big && drop; test $(stat -c %s big) = 9000 && tail -c 8000 big | cmp - <(head -c 8000 /dev/zero)'
check truncate-base-then-grow 'truncate -s 10 examples/data/small.csv && truncate -s 20 examples/data/small.csv && drop; cmp examples/data/small.csv <(head -c 10 /tmp/base/examples/data/small.csv; head -c 10 /dev/zero)'
check open-trunc-base-file 'echo new > docs/guide/faq.md; drop; test "$(cat docs/guide/faq.md)" = new'
check fsync 'dd if=/dev/zero of=fs bs=4k count=10 conv=fsync'
check sparse-beyond-4-GiB 'truncate -s 6G sp && printf end | dd of=sp bs=1 seek=5368709120 conv=notrunc 2>/dev/null && drop; dd if=sp bs=1 skip=5368709120 count=3 2>/dev/null | grep -q end && test $(stat -c %s sp) = 6442450944; rm sp'
check mmap-write 'probe mmap mm'
check o-direct 'probe direct od'
check o-excl 'probe excl ex && ! probe excl ex && test $(stat -c %a ex) = 640'
check exec-from-mount 'cp $(command -v busybox) busybox && chmod 755 busybox && test "$(./busybox echo ok)" = ok'
check flock-local 'flock -n f1 true'

# Names.
check rename 'mv f1 f2 && test -e f2 && test ! -e f1'
check rename-over-file 'echo a > ra; echo b > rb; mv -f ra rb && test "$(cat rb)" = a && test ! -e ra'
check rename-into-dir 'mkdir d1 && echo q > q && mv q d1/q && test "$(cat d1/q)" = q'
check rename-dir 'mkdir rd && echo x > rd/x && mv rd rd2 && test "$(cat rd2/x)" = x'
check rename-dir-over-empty 'mkdir ro1 ro2 && echo x > ro1/x && mv -T ro1 ro2 && test "$(cat ro2/x)" = x'
check rename-dir-over-full-refused 'mkdir rf1 rf2 && echo x > rf2/x && ! mv -T rf1 rf2'
check rename-dir-below-itself-refused 'mkdir -p rs/a && ! mv rs rs/a/b 2>/dev/null'
check rename-base-dir 'mv internal inner && cmp inner/count/count.go /tmp/base/internal/count/count.go && test ! -e internal'
check rename-within-renamed-base-dir 'mv inner/count inner/counting && echo x >> inner/counting/stop.go && drop; test -e inner/counting/count_test.go && tail -1 inner/counting/stop.go | grep -q x'
check rename-base-file 'mv go.mod go.mod2 && cmp go.mod2 /tmp/base/go.mod && ! test -e go.mod'
check rename-open-file 'exec 5>oh; echo one >&5; mv oh oh2; echo two >&5; exec 5>&-; test "$(wc -l < oh2)" = 2'
check open-file-in-renamed-dir 'mkdir ord && exec 5>ord/f; echo one >&5; mv ord ord2; echo two >&5; exec 5>&-; drop; test "$(wc -l < ord2/f)" = 2'
check unlink-open-file 'echo data > uo; exec 5<uo; rm uo; read x <&5 && test "$x" = data && test ! -e uo'
check unlink-open-base-file 'exec 5<docs/guide/options.md; rm docs/guide/options.md; cmp /tmp/base/docs/guide/options.md <(cat <&5) && test ! -e docs/guide/options.md'
check same-name-again 'rm scripts/check.sh && echo again > scripts/check.sh && drop; test "$(cat scripts/check.sh)" = again && test $(stat -c %a scripts/check.sh) = 644'
check symlink 'ln -s f2 sl && test "$(readlink sl)" = f2 && test "$(head -1 sl)" = hello'
check create-through-dangling-symlink 'ln -s target-of-it dl && echo x > dl && test "$(cat target-of-it)" = x && test -L dl'
check mkfifo 'mkfifo ff && test -p ff'
check mknod-block 'mknod nb b 7 0 && test -b nb && test "$(stat -c %t,%T nb)" = 7,0'
check mknod-char 'mknod nc c 1 3 && test -c nc && test "$(stat -c %t,%T nc)" = 1,3'
check unix-socket 'probe sock sk && test -S sk'
check hard-link 'ln f2 hl && test $(stat -c %h f2) = 2 && test $(stat -c %i f2) = $(stat -c %i hl)'
check long-name-255 'n=$(printf "%0255d" 1); echo x > $n && test -e $n && rm $n'
check long-name-256-refused 'n=$(printf "%0256d" 1); touch $n 2>&1 | grep -q "too long"'
check odd-names 'mkdir on && cd on && u=$(printf "\\377\\376") && nl=$(printf "a\\nb") && for n in "ä ö" "$nl" -x "a\\b" "$u"; do echo x > "./$n" || exit; done; drop; test -e "ä ö" -a -e "$nl" -a -e ./-x -a -e "$u" && test $(find . -type f -print0 | tr -dc "\\0" | wc -c) = 5'

# Directories.
check mkdir-p 'mkdir -p p/q/r/s && test -d p/q/r/s'
check mkdir-exists-refused 'mkdir p 2>&1 | grep -q "exists"'
check rmdir 'mkdir gone && rmdir gone && test ! -e gone'
check rmdir-full-refused 'rmdir p 2>&1 | grep -q "not empty"'
check rmdir-full-base-refused 'rmdir docs 2>&1 | grep -q "not empty"'
check rmdir-of-file 'touch notdir && ! rmdir notdir 2>/dev/null && test -e notdir'
check unlink-of-dir-refused 'mkdir isdir && ! unlink isdir 2>/dev/null && test -d isdir'
check rm-r-base-dir 'rm -r third_party && test ! -e third_party && ! ls | grep -q third_party'
check mkdir-over-removed-base-dir 'mkdir third_party && test -z "$(ls -A third_party)"'
check readdir-while-deleting 'mkdir rwd && probe mk rwd 200 0 && drop; probe readdir-delete rwd && test ! -e rwd'
check delete-base-entries 'rm many/entry-1* && drop; test $(ls many | wc -l) = 189 && rm -r many && test ! -e many'
check nlink-of-dir 'mkdir -p nl/a nl/b && test $(stat -c %h nl) = 4 && rmdir nl/a && test $(stat -c %h nl) = 3'

# Attributes.
check chmod 'chmod 640 f2 && test $(stat -c %a f2) = 640'
check chmod-base-file 'chmod 600 scripts/release.sh && drop; test $(stat -c %a scripts/release.sh) = 600 && cmp scripts/release.sh /tmp/base/scripts/release.sh'
check chmod-setuid 'echo x > su && chmod 4755 su && drop; test $(stat -c %a su) = 4755'
check chmod-sticky-dir 'mkdir st && chmod 1777 st && drop; test $(stat -c %a st) = 1777'
check chown 'chown 1234:2345 f2 && drop; test "$(stat -c %u:%g f2)" = 1234:2345'
check create-mode 'umask 027; echo x > cm; mkdir cmd2; test $(stat -c %a cm) = 640 && test $(stat -c %a cmd2) = 750'
check set-times 'touch -d "2001-02-03 04:05:06.123456789 UTC" f2 && drop; test "$(stat -c %.9Y f2)" = 981173106.123456789'
check mtime-advances 'echo 1 > ta; a=$(stat -c %.9Y ta); sleep 0.05; echo 2 >> ta; sync ta; b=$(stat -c %.9Y ta); echo $a $b; test $a != $b'
check ctime-advances-on-chmod 'a=$(stat -c %.9Z ta); sleep 0.05; chmod 600 ta; b=$(stat -c %.9Z ta); echo $a $b; test $a != $b'
check dir-mtime-advances 'mkdir dm; a=$(stat -c %.9Y dm); sleep 0.05; touch dm/x; drop; b=$(stat -c %.9Y dm); echo $a $b; test $a != $b'
check ino-survives-rename 'a=$(stat -c %i ta); drop; b=$(stat -c %i ta); mv ta tb; drop; c=$(stat -c %i tb); echo $a $b $c; test $a = $b && test $b = $c'
check ino-of-base-survives-change 'a=$(stat -c %i docs/guide/getting-started.md); echo x >> docs/guide/getting-started.md; drop; b=$(stat -c %i docs/guide/getting-started.md); test $a = $b'
check du-counts-blocks 'truncate -s 100M hole && test $(du -k hole | cut -f1) -lt 1024; rm hole'

# Users.
check owner-of-new-file 'mkdir nr && chmod 777 nr && setpriv --reuid 1000 --regid 1000 --clear-groups sh -c "echo hi > nr/mine" && test "$(stat -c %u:%g nr/mine)" = 1000:1000'
check access-denied-other-user 'echo s > sec && chmod 600 sec && ! setpriv --reuid 1000 --regid 1000 --clear-groups cat sec'

# Mounting.
here mount-subdir-refused 'mkdir -p /mnt/x; ! timeout 30 mount -t nfs -o vers=3,tcp,nolock,port=2049,mountport=2049,mountproto=tcp 127.0.0.1:/nosuch /mnt/x'
here mount-v4-refused 'mkdir -p /mnt/x; ! timeout 30 mount -t nfs -o vers=4,tcp,port=2049 127.0.0.1:/ /mnt/x'
here mount-falls-back-to-v3 'mkdir -p /mnt/x; timeout 120 mount -t nfs -o tcp,nolock,port=2049,mountport=2049,mountproto=tcp 127.0.0.1:/ /mnt/x && grep " /mnt/x " /proc/mounts | grep vers=3'
umount /mnt/x 2>/dev/null
here unmount 'timeout 300 umount /mnt/n'

# The same, seen by a new server: what was done is there, what was not is not.
stop
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL remount"; finish; }
check after-restart 'test "$(head -1 f2)" = hello && test ! -e internal && test -e inner/counting/stop.go && test ! -e many && test -z "$(ls -A third_party)" && test "$(cat scripts/check.sh)" = again && cmp numbers.txt /tmp/edited'
LIMIT=600 check rm-rf-everything 'rm -rf ./* ./.[!.]* && test -z "$(ls -A)"'
here status-of-changes 'cd /; deltafs status /tmp/store | head -5; true'
unmount
stop
here fsck 'deltafs fsck /tmp/store'
here base-untouched 'probe tree /tmp/base | diff /tmp/before -'
finish
