package main

import "github.com/spf13/cobra"

func newFsck(u *ui) *cobra.Command { return &cobra.Command{Use: "fsck"} }
