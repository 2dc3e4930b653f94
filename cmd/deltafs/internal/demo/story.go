package main

import (
	"fmt"
	"io"
	"strings"
)

// demo is the story that is told.
type demo struct {
	w           io.Writer
	bin         string
	base, store string
	server      *server
	client      *client
	before      tree // of the base, when the story began
	want        tree // what clients must see
}

// run tells it.
func (d *demo) run() error {
	steps := []func() error{d.look, d.serve, d.change, d.restart, d.checkBase}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) title(format string, args ...any) {
	fmt.Fprintf(d.w, "\n# "+format+"\n", args...)
}

// look reads the base itself.
func (d *demo) look() (err error) {
	d.title("The base: a directory, which is only read")
	if d.before, err = readDisk(d.base); err != nil {
		return err
	}
	d.want = d.before.clone()
	d.show(d.before, ".", "docs")
	return nil
}

// serve starts the server and compares what a client sees with the base.
func (d *demo) serve() error {
	d.title("deltafs serve --base %s --delta %s --listen 127.0.0.1:0", d.base, d.store)
	if err := d.start(); err != nil {
		return err
	}
	fmt.Fprintf(d.w, "  listening on %s\n", d.server.ready.Addr)
	return d.compare("a client over NFS sees the same")
}

// change does to the tree, over NFS, what people do, and to d.want the same.
func (d *demo) change() error {
	d.title("Over NFS: create, write, delete, rename, link, chmod")
	for _, c := range changes {
		if err := c.do(d.client); err != nil {
			return fmt.Errorf("%s: %w", c.say, err)
		}
		if err := c.expect(d.want); err != nil {
			return fmt.Errorf("%s: %w", c.say, err)
		}
		fmt.Fprintf(d.w, "  %s\n", c.say)
	}
	d.title("What a client sees now")
	d.show(d.want, ".", "docs", "handbook")
	if err := d.compare("all of it is as it should be"); err != nil {
		return err
	}
	return d.status()
}

// restart ends the server and starts it again over the same store.
func (d *demo) restart() error {
	d.title("Stop the server, start it again")
	d.client.close()
	if err := d.server.stop(); err != nil {
		return err
	}
	info, err := d.deltafs("info", d.store)
	if err != nil {
		return err
	}
	fmt.Fprint(d.w, indent(pick(info, "log bytes", "changed", "history")))
	if err := d.start(); err != nil {
		return err
	}
	return d.compare("the changes are still there")
}

// checkBase ends the server and looks at the base and the store once more.
func (d *demo) checkBase() error {
	ready := d.server.ready
	d.client.close()
	if err := d.server.stop(); err != nil {
		return err
	}
	d.server = nil
	d.title("The base, after all of this")
	after, err := readDisk(d.base)
	if err != nil {
		return err
	}
	if diff := d.before.diff(after); diff != "" {
		return fmt.Errorf("the base has changed: %s", diff)
	}
	fmt.Fprintf(d.w, "  before %s\n  after  %s\n", d.before.hash(), after.hash())
	if _, err := d.deltafs("fsck", d.store); err != nil {
		return err
	}
	fmt.Fprint(d.w, "  the store is sound (deltafs fsck)\n")
	if len(ready.Mount) > 0 {
		d.title("Serve and mount it for real, on this system")
		fmt.Fprintf(d.w, "  deltafs serve --base testdata/base --delta delta --listen %s\n  %s\n", ready.Addr, ready.Mount[0].Line)
	}
	return nil
}

// status prints what the command says of a running server.
func (d *demo) status() error {
	d.title("deltafs status")
	out, err := d.deltafs("status", d.store)
	if err != nil {
		return err
	}
	if strings.Count(out, "\n") == 0 {
		return fmt.Errorf("deltafs status says nothing of the changes")
	}
	fmt.Fprint(d.w, indent(out))
	return nil
}

// compare reads all that a client can see and holds it against what it should be.
func (d *demo) compare(say string) error {
	got, err := d.client.readTree()
	if err != nil {
		return err
	}
	if diff := d.want.diff(got); diff != "" {
		return fmt.Errorf("a client sees something else than it should: %s", diff)
	}
	fmt.Fprintf(d.w, "  %s: %d names, %d bytes read and compared\n", say, len(got), got.bytes())
	return nil
}

// show prints what is in some directories, a line each.
func (d *demo) show(t tree, dirs ...string) {
	for _, dir := range dirs {
		names := t.list(dir)
		if names == nil {
			names = []string{"(not there)"}
		}
		for i, line := range wrap(names, 66) {
			if i > 0 {
				dir = ""
			}
			fmt.Fprintf(d.w, "  %-9s %s\n", dir, line)
		}
	}
}

// wrap joins words to lines of at most width bytes, where words allow it.
func wrap(words []string, width int) (lines []string) {
	line := ""
	for _, w := range words {
		if line != "" && len(line)+2+len(w) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += "  "
		}
		line += w
	}
	return append(lines, line)
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// pick returns the lines that begin with one of the words.
func pick(text string, words ...string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		for _, w := range words {
			if strings.HasPrefix(line, w) {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}
