# forks.sh: four machines share one image of a disk, each with a fork of its own.
. /out/guest/lib.sh
B=/tmp/images
n=$((SOAK > 1 ? 1024 : 24)) # MiB
blocks=$((SOAK > 1 ? 8192 : 512))
mkdir -p "$B" && truncate -s ${n}M "$B/disk.img"
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }
for i in 1 2 3 4; do
  deltafs fork "$S" vm$i > /dev/null && mount_nfs 2049 /mnt/vm$i "" /@vm$i || { echo "FAIL fork"; finish; }
done
# holds NAME: the bytes that the delta of a fork holds of the image.
holds() { deltafs top --fork $1 --json "$S" | tr -d '[] \n' | probe json bytes; }
export -f holds; export S B N blocks n
LIMIT=900
check write-at-once 'for i in 1 2 3 4; do probe blocks write /mnt/vm$i/disk.img $i $blocks > /tmp/wrote$i & p="$p $!"; done; for q in $p; do wait $q || exit; done; cat /tmp/wrote?'
drop
for i in 1 2 3 4; do
  check only-its-own-$i "probe blocks check /mnt/vm$i/disk.img $i $blocks"
  check holds-its-own-$i "test \$(holds vm$i) = \$(cut -d' ' -f1 /tmp/wrote$i) || { holds vm$i; false; }"
done
check main-is-untouched 'probe blocks check "$N/disk.img" 0 0 && test -z "$(deltafs status "$S")"'
here base-is-untouched 'probe blocks check "$B/disk.img" 0 0'
for i in 1 2 3 4; do unmount /mnt/vm$i; done
check accept-one 'for i in 1 2 4; do deltafs drop "$S" vm$i || exit; done; deltafs accept "$S" vm3'
check commit-it 'deltafs commit "$S"'
here base-is-the-third 'probe blocks check "$B/disk.img" 3 $blocks && test "$(du -sm "$B/disk.img" | cut -f1)" -lt $((n / 2))'
unmount; stop
here fsck 'deltafs fsck "$S"'
finish
