package billyfs
import ("os";"os/exec";"fmt")
func dbg(r *rig, base string) {
	if os.Getenv("DBG") == "" { return }
	out, _ := exec.Command("find", base, "-printf", "%P %y %i %n %m\n").CombinedOutput()
	fmt.Println("BASE:\n"+string(out))
	r.Status(func(e StatusEntry) error { fmt.Printf("STATUS %c %s %s\n", e.Code, e.Path, e.From); return nil })
	c, _ := r.collect()
	for i, x := range c.inodes { fmt.Printf("INODE %x %s %+v\n", i, c.anyPath(i), x) }
	for at, e := range c.entries { fmt.Printf("ENTRY %x/%s %+v\n", at.parent, at.name, e) }
}

func init() { dbgSteps = os.Getenv("DBG") != "" }
