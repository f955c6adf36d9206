// Checks a proof file with the packages that Go's own checksum database and the C2SP formats are read with:
// `placet-go-notes VKEY ORIGIN PROOF LEAF`. Prints the size of the log and the place of the entry.
//
// SPDX-License-Identifier: MIT OR Apache-2.0
package main

import (
	"fmt"
	"os"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(vkey, origin, proofFile, leafFile string) (string, error) {
	text, err := os.ReadFile(proofFile)
	if err != nil {
		return "", err
	}
	leaf, err := os.ReadFile(leafFile)
	if err != nil {
		return "", err
	}
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	var file proof.TLogProof
	if err := file.Unmarshal(text); err != nil {
		return "", err
	}
	if string(file.Marshal()) != string(text) {
		return "", fmt.Errorf("the proof has another form than Go gives it")
	}
	checkpoint, _, signed, err := log.ParseCheckpoint(file.Checkpoint, origin, key)
	if err != nil {
		return "", err
	}
	if len(signed.Sigs) == 0 {
		return "", fmt.Errorf("nobody signed")
	}
	var path tlog.RecordProof
	for _, hash := range file.Hashes {
		path = append(path, hash)
	}
	size, index := int64(checkpoint.Size), int64(file.Index)
	if err := tlog.CheckRecord(path, size, tlog.Hash(checkpoint.Hash), index, tlog.RecordHash(leaf)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d", size, index), nil
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: placet-go-notes VKEY ORIGIN PROOF LEAF")
		os.Exit(2)
	}
	told, err := check(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(told)
}
