package billyfs

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkCommit commits new files of 100 KiB, in directories of 500; the time is that of one file.
func BenchmarkCommit(b *testing.B) {
	base := b.TempDir()
	r := openOver(b, base, b.TempDir()+"/s", 4<<20)
	defer r.close()
	data := []byte(strings.Repeat("content\n", 100<<10/8))
	var dir Attr
	for i := range b.N {
		var err error
		if i%500 == 0 {
			if dir, _, err = r.Mkdir(root, RootIno, fmt.Sprint("d", i/500), SetAttr{}); err != nil {
				b.Fatal(err)
			}
		}
		f, _, err := r.Create(root, dir.Ino, fmt.Sprint("f", i), CreateHow{Mode: Guarded})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.WriteAt(root, f.Ino, data, 0); err != nil {
			b.Fatal(err)
		}
	}
	w := writer(b, base)
	b.ResetTimer()
	if _, err := r.Commit(CommitOptions{Base: w}); err != nil {
		b.Fatal(err)
	}
}
