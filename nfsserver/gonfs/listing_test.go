package gonfs

import (
	"bytes"
	"slices"
	"testing"

	nfs "github.com/willscott/go-nfs"
)

// rm -rf: the client deletes what one page told it and asks for the next.
func TestDeleteWhileListing(t *testing.T) {
	const files = 5000
	for _, plus := range []bool{false, true} {
		r := newRig(t)
		c, root := r.mounted()
		dir := c.mkdir(root, "many")
		for i := range files {
			c.create(dir, numbered(i))
		}
		seen := 0
		for p := (page{}); !p.eof; {
			if plus {
				p = c.readdirplus(dir, p.cookie, p.verifier)
			} else {
				p = c.readdir(dir, p.cookie, p.verifier)
			}
			for _, s := range p.names {
				if s != numbered(seen) {
					t.Fatalf("name %d is %s", seen, s)
				}
				seen++
				c.remove(dir, s)
			}
		}
		if seen != files {
			t.Errorf("plus %v: saw %d names of %d", plus, seen, files)
		}
		c.want(nfs.NFSStatusOk, nfs.NFSProcedureRmDir, name(root, "many"))
	}
}

// A listing that a client is half through goes on after a restart.
func TestListingOutlivesTheServer(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	for i := range 100 {
		c.create(root, numbered(i))
	}
	first := c.readdir(root, 0, 0)
	r.restart()
	c, _ = r.mounted()
	all := first.names
	for p := first; !p.eof; {
		p = c.readdir(root, p.cookie, p.verifier)
		all = append(all, p.names...)
	}
	if !slices.IsSorted(all) || len(all) != 103 {
		t.Errorf("%d names: %q", len(all), all)
	}
}

// A listing can be resumed behind each entry, "." and ".." too, and fills the
// room that the client has, without ever being longer.
func TestListingResumesAtEachCookie(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	dir := c.mkdir(root, "d")
	const files = 60
	for i := range files {
		c.create(dir, numbered(i))
	}
	for cookie := range uint64(files + 3) {
		for _, list := range []func([]byte, uint64, uint64) page{c.readdir, c.readdirplus} {
			p := list(dir, cookie, 0)
			want := max(int(cookie)-cookieDotDot, 0)
			if !p.eof || len(p.names) != files-want || len(p.names) > 0 && p.names[0] != numbered(want) {
				t.Fatalf("behind %d: %d names, %v", cookie, len(p.names), p.eof)
			}
		}
	}
	for _, room := range []uint32{1024, 1500, 4096, 1 << 16, 1<<32 - 1} {
		args := put32(cat(fh(dir), put32(nil, 0, 0, 0, 0)), room)
		rd := c.want(nfs.NFSStatusOk, nfs.NFSProcedureReadDir, args)
		if n := int64(len(rd.b) + 4); n > int64(room) {
			t.Errorf("%d bytes where there is room for %d", n, room)
		}
		if p := c.page(rd, false); len(p.names) < min(files, (int(min(room, 1<<16))-200)/60) {
			t.Errorf("only %d names in %d bytes", len(p.names), room)
		}
	}
	c.want(nfs.NFSStatusTooSmall, nfs.NFSProcedureReadDir, put32(cat(fh(dir), put32(nil, 0, 0, 0, 0)), 100))
}

func TestListingsShowWhatIsNow(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	c.lookup(root, "hello")
	p := c.readdirplus(root, 0, 0)
	i := slices.Index(p.names, "hello")
	if i < 0 || !bytes.Equal(p.handles[i], c.lookup(root, "hello")) {
		t.Fatalf("listing %q has another handle than LOOKUP", p.names)
	}
}
